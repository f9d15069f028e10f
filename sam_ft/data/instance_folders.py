"""`InstanceMaskFolder`: one folder per image, with a file for each object's mask, as in BBBC038 (Data Science Bowl)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from sam_ft.checks import expect_whole_number
from sam_ft.data.folders import divided_files, expanded, image_files, listed, parts_in_folders
from sam_ft.data.image_files import SUFFIXES, image_size, read_image, read_label_map
from sam_ft.data.pixels import Look, PixelRule
from sam_ft.data.splits import DataSplits, GroupSplit
from sam_ft.types import Sample, blank_image


class InstanceMaskFolder:
    """Folders `ID/images/NAME.png` and `ID/masks/*.png`: one image and a file for each of its objects.

    Every pixel of a mask file that is not 0 belongs to the object; objects may overlap. Construction lists the
    folders; images and masks are read when needed. Source: Caicedo et al., "Nucleus segmentation across imaging
    experiments: the 2018 Data Science Bowl" (2019), `stage1_train`.

    Args:
        folder: With a folder for each image.
        images: Name of the folder of the one image.
        masks: Name of the folder of its masks.
        min_area_px: Smaller objects are left out, empty masks with them.
        class_name: What the objects are called.
        names: The images to take, by the name of their folder; None: all.
        **look: How pixels are shown; see `PixelRule`.

    Attributes:
        files: (image, its masks) of each sample, by name of the folder.

    Raises:
        ValueError: No such folders, another number of images than one, or no masks; the folder is named.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        images: str = "images",
        masks: str = "masks",
        min_area_px: int = 1,
        class_name: str = "object",
        names: frozenset[str] | None = None,
        **look: Unpack[Look],
    ) -> None:
        self.min_area_px = expect_whole_number("min_area_px", min_area_px, least=1)
        self.class_name = class_name
        self.pixels = PixelRule(**look)
        places = [place for place in _places(Path(folder), images, masks) if names is None or place.name in names]
        self.files = tuple((_one_image(place / images), _mask_files(place / masks)) for place in places)
        self._names = tuple(place.name for place in places)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(image for image, _ in self.files)

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those, and those of the labels."""
        return (*self.image_files, *(mask for _, masks in self.files for mask in masks))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        sample = self.without_image(index)
        return replace(sample, image=torch.from_numpy(read_image(self.files[index][0], self.pixels)))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that of the file its header alone is read."""
        image_path, mask_paths = self.files[index]
        size = image_size(image_path)
        each = [_read_mask(path, image_path, size=size) for path in mask_paths]
        large = [mask for mask in each if np.count_nonzero(mask) >= self.min_area_px]
        masks = np.stack(large) if large else np.zeros((0, *size), dtype=np.bool_)  # (N, H, W)
        return Sample(
            image=blank_image(*size),
            masks=torch.from_numpy(masks),
            class_names=(self.class_name,) * len(masks),
            name=self._names[index],
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def instance_folders_splits(
    root: str | Path,
    *,
    split: GroupSplit,
    group: str | None = None,
    images: str = "images",
    masks: str = "masks",
    min_area_px: int = 1,
    class_name: str = "object",
    **look: Unpack[Look],
) -> DataSplits:
    """`InstanceMaskFolder` in parts: the folders train, val and, where there is one, test in the root, or by a rule.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        split: How images are divided where no folders do.
        group: Which images stay together; see `divided_files`. Folders that are the parts must not share a group.
        images: Name of the folder of the one image.
        masks: Name of the folder of its masks.
        min_area_px: Smaller objects are left out, empty masks with them.
        class_name: What the objects are called.
        **look: How pixels are shown; see `PixelRule`.

    Raises:
        ValueError: What `InstanceMaskFolder` or the split raises.
    """

    def read(folder: Path, names: frozenset[str] | None = None) -> InstanceMaskFolder:
        return InstanceMaskFolder(
            folder,
            images=images,
            masks=masks,
            min_area_px=min_area_px,
            class_name=class_name,
            names=names,
            **look,
        )

    folder = expanded(root)
    if parts := parts_in_folders(folder, read, files=image_files, group=group):
        return parts
    found = {place.name: _one_image(place / images) for place in _places(folder, images, masks)}
    return divided_files(found, lambda chosen: read(folder, chosen), split=split, group=group)


def _places(folder: Path, images: str, masks: str) -> list[Path]:
    """The folders inside that are of an image."""
    found = sorted(place for place in folder.iterdir() if (place / images).is_dir()) if folder.is_dir() else []
    if not found:
        raise ValueError(f"Expected {folder} to hold folders with {images} and {masks}, but got {listed(folder)}.")
    return found


def _one_image(folder: Path) -> Path:
    found = _image_files(folder)
    if len(found) != 1:
        raise ValueError(f"Expected one image in {folder}, but got {listed(folder)}.")
    return found[0]


def _mask_files(folder: Path) -> tuple[Path, ...]:
    found = _image_files(folder)
    if not found:
        raise ValueError(f"Expected at least one mask in {folder}, but got {listed(folder)}.")
    return found


def _image_files(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _read_mask(path: Path, image_path: Path, *, size: tuple[int, ...]) -> np.ndarray:
    mask = read_label_map(path) != 0
    if mask.shape != size:
        raise ValueError(f"Expected {path} of the size of its image {image_path}, {size}, but got {mask.shape}.")
    return mask
