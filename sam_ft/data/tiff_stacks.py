"""`TiffStacks`: the pages of TIFF stacks as images, with stacks of label maps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from sam_ft.checks import expect_whole_number
from sam_ft.data.folders import folder_splits, pair_by_stem
from sam_ft.data.label_maps import as_label_map, masks_of_values, object_values
from sam_ft.data.pixels import Limits, Look, PixelRule
from sam_ft.data.splits import DataSplits, GroupSplit
from sam_ft.data.tiff_files import TIFF_SUFFIXES, TiffPictures, open_tiff
from sam_ft.types import Sample, blank_image

_logger = logging.getLogger(__name__)
_MEASURED_PAGES = 16


class TiffStacks:
    """The pages of TIFF stacks that hold an object; stacks of images and of label maps are paired by name.

    What the dimensions of a stack mean is read from the file (ImageJ, OME, tifffile); every picture along depth and
    time is a page, channels are not. A label stack has the same pages: 0 is background, every other value one object of
    its page. Construction reads all label stacks once; pages of images are read when needed. Where intensities are
    scaled by percentiles, those of 16 pages spread evenly through the stack count for all of it, so that one brightness
    means the same in every page.

    Args:
        images: Folder of stacks, of any depth and number of channels.
        labels: Folder of label stacks.
        axes: What the dimensions of the images mean where the files do not say so, such as "ZCYX"; None: as they say.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        stems: The files to take, by name without suffix; None: all.
        **look: How pixels are shown; see `PixelRule`.

    Attributes:
        stacks: (image, labels) of each pair, by name.
        entries: (number of the stack, page) of each sample.

    Raises:
        ValueError: A missing folder, a file without partner, one that is no TIFF or cannot be read, other pages in the
            labels than in the image, or no object in any page.
    """

    def __init__(
        self,
        images: str | Path,
        labels: str | Path,
        *,
        axes: str | None = None,
        min_area_px: int = 1,
        class_name: str = "object",
        stems: frozenset[str] | None = None,
        **look: Unpack[Look],
    ) -> None:
        self.min_area_px = expect_whole_number("min_area_px", min_area_px, least=1)
        self.class_name = class_name
        self.pixels = PixelRule(**look)
        pairs = [pair for pair in pair_by_stem(images, labels) if stems is None or pair[0].stem in stems]
        self.stacks = tuple(_open_pair(image, label, axes=axes) for image, label in pairs)
        if self.pixels.channels is None:
            for image, _ in self.stacks:
                image.expect_shown_whole()
        self._limits: dict[int, Limits] = {}
        places = [(stack, page) for stack, (image, _) in enumerate(self.stacks) for page in range(len(image))]
        self.entries = tuple(place for place in places if len(self._objects(*place)[1]))
        if not self.entries:
            raise ValueError(
                f"Expected at least one object of {min_area_px} pixels or more in the {len(places)} pages of {labels}, "
                "but none remains."
            )
        if len(self.entries) < len(places):
            num_left_out = len(places) - len(self.entries)
            _logger.warning("%d of %d pages in %s hold no object and are left out.", num_left_out, len(places), images)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(image.path for image, _ in self.stacks)

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those, and those of the labels."""
        return tuple(stack.path for pair in self.stacks for stack in pair)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        number, page = self.entries[index]
        image = self.stacks[number][0]
        picture = self.pixels.picture(image.picture(page), path=image.path, limits=self._limits_of(number))
        return replace(self.without_image(index), image=torch.from_numpy(picture))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that the page need not be decoded."""
        number, page = self.entries[index]
        labels, values = self._objects(number, page)
        path = self.stacks[number][1].path
        return Sample(
            image=blank_image(*labels.shape),
            masks=torch.from_numpy(masks_of_values(labels, values, path=path)),  # (N, H, W)
            class_names=(self.class_name,) * len(values),
            name=f"{self.stacks[number][0].path.stem}_{page:03d}",
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _objects(self, number: int, page: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) labels of a page and the (N,) values of its objects."""
        stack = self.stacks[number][1]
        labels = as_label_map(stack.picture(page), path=stack.path)
        return labels, object_values(labels, min_area_px=self.min_area_px)

    def _limits_of(self, number: int) -> Limits:
        """Of the whole stack, measured when first needed."""
        if number not in self._limits:
            image = self.stacks[number][0]
            pages = np.unique(np.linspace(0, len(image) - 1, _MEASURED_PAGES).round().astype(int))
            measured = [image.picture(page) for page in pages.tolist()]
            self._limits[number] = self.pixels.limits(measured, path=image.path)
        return self._limits[number]


def tiff_stacks_splits(
    root: str | Path,
    *,
    split: GroupSplit,
    group: str | None = None,
    images: str = "images",
    labels: str = "labels",
    axes: str | None = None,
    min_area_px: int = 1,
    class_name: str = "object",
    **look: Unpack[Look],
) -> DataSplits:
    """`TiffStacks` in parts, as the folders say or by a rule; see `folder_splits`. The pages of a stack stay together.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        split: How files are divided where no folders do.
        group: Which files stay together; see `divided_files`. Folders that are the parts must not share a group.
        images: Name of the folders of images.
        labels: Name of the folders of label stacks.
        axes: What the dimensions of the images mean; None: as the files say.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        **look: How pixels are shown; see `PixelRule`.

    Raises:
        ValueError: Neither layout is found, or what `TiffStacks` raises.
    """

    def read(folder: Path, stems: frozenset[str] | None) -> TiffStacks:
        return TiffStacks(
            folder / images,
            folder / labels,
            axes=axes,
            min_area_px=min_area_px,
            class_name=class_name,
            stems=stems,
            **look,
        )

    return folder_splits(root, read, split=split, group=group, images=images, labels=labels)


def _open_pair(image: Path, label: Path, *, axes: str | None) -> tuple[TiffPictures, TiffPictures]:
    for path in (image, label):
        if path.suffix.lower() not in TIFF_SUFFIXES:
            raise ValueError(f"Expected stacks ending in {' or '.join(TIFF_SUFFIXES)}, but got {path}.")
    pictures, labels = open_tiff(image, axes=axes), open_tiff(label)
    if (pictures.page_shape, pictures.size) != (labels.page_shape, labels.size):
        raise ValueError(
            f"Expected {label} with the pages of its image {image}, {pictures.page_shape} of {pictures.size}, but got "
            f"{labels.page_shape} of {labels.size} (axes {pictures.axes} and {labels.axes}; data.axes says those of "
            "images that do not say so)."
        )
    return pictures, labels
