"""`ImageMaskFolder`: images with instance label maps, paired by file name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Unpack

from sam_ft.data.folders import folder_splits, pair_by_stem
from sam_ft.data.instance_maps import InstanceMaps, InstancePair
from sam_ft.data.pixels import Look
from sam_ft.data.splits import DataSplits, GroupSplit

_logger = logging.getLogger(__name__)


class ImageMaskFolder(InstanceMaps):
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
        pairs: The files of each sample, by name; images in which no object remains are left out with a
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
        found = [
            InstancePair(name=image.stem, image=image, mask=label)
            for image, label in pair_by_stem(images, labels)
            if stems is None or image.stem in stems
        ]
        super().__init__(found, min_area_px=min_area_px, class_name=class_name, **look)
        self.pairs = tuple(pair for pair in found if len(self.objects_of(pair)[1]))
        if not self.pairs:
            raise ValueError(
                f"Expected at least one object of {min_area_px} pixels or more in the {len(found)} label maps "
                f"of {labels}, but none remains."
            )
        if len(self.pairs) < len(found):
            num_left_out = len(found) - len(self.pairs)
            _logger.warning("%d of %d images in %s hold no object and are left out.", num_left_out, len(found), images)


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
