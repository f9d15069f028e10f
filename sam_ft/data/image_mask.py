"""`ImageMaskFolder`: images with instance label maps, paired by file name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from sam_ft.data.folders import folder_splits, pair_by_stem, read_checked
from sam_ft.data.image_files import read_image
from sam_ft.data.label_maps import masks_of_values, object_values
from sam_ft.data.pixels import Look, PixelRule
from sam_ft.data.splits import DataSplits, GroupSplit
from sam_ft.types import Sample, blank_image

_logger = logging.getLogger(__name__)


class ImageMaskFolder:
    """Images of one folder and label maps of another, paired by the name without its suffix.

    A label map is a PNG, TIFF or `.npy` of the image's size: 0 is background, every other value one object (8 or
    16 bits; 255 objects do not fit into 8). Construction reads all label maps once; images are read when needed.

    Args:
        images: Folder of images, of any depth and number of channels.
        labels: Folder of label maps.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        stems: The files to take, by name without suffix; None: all.
        **look: How pixels are shown; see `PixelRule`.

    Attributes:
        pairs: (image, label map) of each sample, by name; images in which no object remains are left out with a
            warning that counts them.

    Raises:
        ValueError: A missing folder, a file without partner or with several, a label map that cannot be decoded
            or is not of its image's size, or no object in any image.
    """

    def __init__(
        self,
        images: str | Path,
        labels: str | Path,
        *,
        min_area_px: int = 1,
        class_name: str = "object",
        stems: frozenset[str] | None = None,
        **look: Unpack[Look],
    ) -> None:
        if min_area_px < 1:
            raise ValueError(f"Expected `min_area_px` of 1 or more, but got {min_area_px}.")
        self.min_area_px = min_area_px
        self.class_name = class_name
        self.pixels = PixelRule(**look)
        pairs = [pair for pair in pair_by_stem(images, labels) if stems is None or pair[0].stem in stems]
        self.pairs = tuple(pair for pair in pairs if len(self._object_values(read_checked(*pair))))
        if not self.pairs:
            raise ValueError(
                f"Expected at least one object of {min_area_px} pixels or more in the {len(pairs)} label maps "
                f"of {labels}, but none remains."
            )
        if len(self.pairs) < len(pairs):
            num_left_out = len(pairs) - len(self.pairs)
            _logger.warning("%d of %d images in %s hold no object and are left out.", num_left_out, len(pairs), images)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(image for image, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.pairs[index][0], self.pixels)
        return replace(self.without_image(index), image=torch.from_numpy(image))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that the file need not be decoded."""
        image_path, label_path = self.pairs[index]
        labels = read_checked(image_path, label_path)
        values = self._object_values(labels)
        return Sample(
            image=blank_image(labels.shape[0], labels.shape[1]),
            masks=torch.from_numpy(masks_of_values(labels, values, path=label_path)),  # (N, H, W)
            class_names=(self.class_name,) * len(values),
            name=image_path.stem,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _object_values(self, labels: np.ndarray) -> np.ndarray:
        return object_values(labels, min_area_px=self.min_area_px)


def image_mask_splits(
    root: str | Path,
    *,
    split: GroupSplit,
    group: str | None = None,
    images: str = "images",
    labels: str = "labels",
    min_area_px: int = 1,
    class_name: str = "object",
    **look: Unpack[Look],
) -> DataSplits:
    """`ImageMaskFolder` in parts, as the folders say or by a rule.

    `ROOT/train/images`, `ROOT/train/labels`, the same under `val` and, where there is one, `test`: the folders
    are the parts and `split` is not used. `ROOT/images`, `ROOT/labels` without parts: `split` divides the files.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        split: How files are divided where no folders do.
        group: Which files stay together; see `divided_files`. Folders that are the parts must not share a group.
        images: Name of the folders of images.
        labels: Name of the folders of label maps.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        **look: How pixels are shown; see `PixelRule`.

    Raises:
        ValueError: Neither layout is found, or what `ImageMaskFolder` raises.
    """

    def read(folder: Path, stems: frozenset[str] | None) -> ImageMaskFolder:
        return ImageMaskFolder(
            folder / images,
            folder / labels,
            min_area_px=min_area_px,
            class_name=class_name,
            stems=stems,
            **look,
        )

    return folder_splits(root, read, split=split, group=group, images=images, labels=labels)
