"""`ImageMaskFolder`: images with instance label maps, paired by file name."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from sam_ft.data.image_files import SUFFIXES, image_size, read_image, read_label_map, stretched
from sam_ft.data.splits import DataSplits, GroupSplit, Part
from sam_ft.types import Sample

_logger = logging.getLogger(__name__)


class ImageMaskFolder:
    """Images of one folder and label maps of another, paired by the name without its suffix.

    A label map is a PNG, TIFF or `.npy` of the image's size: 0 is background, every other value one object (8 or
    16 bits; 255 objects do not fit into 8). Construction reads all label maps once; images are read when needed.

    Args:
        images: Folder of images: grey, RGB or RGBA, any depth.
        labels: Folder of label maps.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        stretch: Whether each image's brightness is stretched to the whole range; see `stretched`.
        stems: The files to take, by name without suffix; None: all.

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
        stretch: bool = False,
        stems: frozenset[str] | None = None,
    ) -> None:
        if min_area_px < 1:
            raise ValueError(f"Expected `min_area_px` of 1 or more, but got {min_area_px}.")
        self.min_area_px = min_area_px
        self.class_name = class_name
        self.stretch = stretch
        pairs = [pair for pair in pair_by_stem(images, labels) if stems is None or pair[0].stem in stems]
        self.pairs = tuple(pair for pair in pairs if len(self._object_values(_read_checked(*pair))))
        if not self.pairs:
            raise ValueError(
                f"Expected at least one object of {min_area_px} pixels or more in the {len(pairs)} label maps "
                f"of {labels}, but none remains."
            )
        if len(self.pairs) < len(pairs):
            num_left_out = len(pairs) - len(self.pairs)
            _logger.warning("%d of %d images in %s hold no object and are left out.", num_left_out, len(pairs), images)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image_path, label_path = self.pairs[index]
        labels = _read_checked(image_path, label_path)
        values = self._object_values(labels)
        image = read_image(image_path)
        return Sample(
            image=torch.from_numpy(stretched(image) if self.stretch else image),
            masks=torch.from_numpy(labels == values[:, None, None]),  # (N, H, W)
            class_names=(self.class_name,) * len(values),
            name=image_path.stem,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _object_values(self, labels: np.ndarray) -> np.ndarray:
        values, areas = np.unique(labels, return_counts=True)
        return values[(values != 0) & (areas >= self.min_area_px)]


def image_mask_splits(
    root: str | Path,
    *,
    split: GroupSplit,
    images: str = "images",
    labels: str = "labels",
    min_area_px: int = 1,
    class_name: str = "object",
    stretch: bool = False,
) -> DataSplits:
    """`ImageMaskFolder` in parts, as the folders say or by a rule.

    `ROOT/train/images`, `ROOT/train/labels`, the same under `val` and, where there is one, `test`: the folders
    are the parts and `split` is not used. `ROOT/images`, `ROOT/labels` without parts: `split` divides the files.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        split: How files are divided where no folders do; a group is one file.
        images: Name of the folders of images.
        labels: Name of the folders of label maps.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        stretch: Whether each image's brightness is stretched to the whole range, for dim microscopy.

    Raises:
        ValueError: Neither layout is found, or what `ImageMaskFolder` raises.
    """
    folder = Path(os.path.expandvars(os.path.expanduser(root)))

    def read(part: str, stems: frozenset[str] | None = None) -> ImageMaskFolder:
        base = folder / part
        return ImageMaskFolder(
            base / images,
            base / labels,
            min_area_px=min_area_px,
            class_name=class_name,
            stretch=stretch,
            stems=stems,
        )

    if (folder / "train").is_dir() and (folder / "val").is_dir():
        has_test = (folder / "test").is_dir()
        return DataSplits(train=read("train"), val=read("val"), test=read("test") if has_test else None)
    if not (folder / images).is_dir():
        raise ValueError(
            f"Expected {folder} to hold the folders {images} and {labels}, or train and val (and test) "
            f"with these inside, but got {_listed(folder)}."
        )
    parts = split.assign([image.stem for image, _ in pair_by_stem(folder / images, folder / labels)])

    def divided(part: Part) -> ImageMaskFolder:
        return read(".", frozenset(stem for stem, place in parts.items() if place == part))

    return DataSplits(
        train=divided("train"), val=divided("val"), test=divided("test") if "test" in parts.values() else None
    )


def pair_by_stem(images: str | Path, labels: str | Path) -> list[tuple[Path, Path]]:
    """(image, label map) of every name that both folders hold, in the order of the names.

    Raises:
        ValueError: A missing folder, no images, a file without partner or two files of one name; named.
    """
    found_images, found_labels = _by_stem(Path(images)), _by_stem(Path(labels))
    lone = [f"{found_images[stem]} has no label in {labels}" for stem in found_images.keys() - found_labels.keys()]
    lone += [f"{found_labels[stem]} has no image in {images}" for stem in found_labels.keys() - found_images.keys()]
    if lone:
        more = f" (and {len(lone) - 3} more)" if len(lone) > 3 else ""
        raise ValueError(f"Expected every image to have one label map, but {'; '.join(sorted(lone)[:3])}{more}.")
    return [(found_images[stem], found_labels[stem]) for stem in sorted(found_images)]


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"Expected a folder at {folder}, but there is none.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ValueError(f"Expected one file named {path.stem} in {folder}, but got {found[path.stem]} and {path}.")
        found[path.stem] = path
    if not found:
        raise ValueError(f"Expected files ending in {', '.join(SUFFIXES)} in {folder}, but got {_listed(folder)}.")
    return found


def _read_checked(image: Path, label: Path) -> np.ndarray:
    labels = read_label_map(label)
    size = image_size(image)
    if labels.shape != size:
        raise ValueError(f"Expected {label} of the size of its image {image}, {size}, but got {labels.shape}.")
    return labels


def _listed(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "an empty folder"
