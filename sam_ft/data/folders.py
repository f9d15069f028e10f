"""Folders of images and label maps: files paired by their names, parts by folders or by a rule."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sam_ft.data.image_files import SUFFIXES, image_size, read_label_map
from sam_ft.data.splits import DataSplits, GroupRule, GroupSplit, Part, SampleDataset

ReadFolder = Callable[[Path, frozenset[str] | None], SampleDataset]
"""(folder that holds images and label maps, names of the files to take or None for all) -> their samples."""


def folder_splits(
    root: str | Path, read: ReadFolder, *, split: GroupSplit, images: str = "images", labels: str = "labels"
) -> DataSplits:
    """Parts as the folders say or by a rule.

    `ROOT/train/images`, `ROOT/train/labels`, the same under `val` and, where there is one, `test`: the folders
    are the parts and `split` is not used. `ROOT/images`, `ROOT/labels` without parts: `split` divides the files.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        read: Reads one part.
        split: How files are divided where no folders do; a group is one file.
        images: Name of the folders of images.
        labels: Name of the folders of label maps.

    Raises:
        ValueError: Neither layout is found, or what `read` raises.
    """
    folder = expanded(root)
    if parts := parts_in_folders(folder, lambda part: read(part, None)):
        return parts
    if not (folder / images).is_dir():
        raise ValueError(
            f"Expected {folder} to hold the folders {images} and {labels}, or train and val (and test) "
            f"with these inside, but got {listed(folder)}."
        )
    stems = [image.stem for image, _ in pair_by_stem(folder / images, folder / labels)]
    return divided(stems, lambda chosen: read(folder, chosen), split=split)


def parts_in_folders(folder: Path, read: Callable[[Path], SampleDataset]) -> DataSplits | None:
    """The parts that the folders train, val and, where there is one, test inside are; None without train and val."""
    if not ((folder / "train").is_dir() and (folder / "val").is_dir()):
        return None
    has_test = (folder / "test").is_dir()
    train, val = read(folder / "train"), read(folder / "val")
    return DataSplits(train=train, val=val, test=read(folder / "test") if has_test else None)


def divided(groups: Sequence[str], read: Callable[[frozenset[str]], SampleDataset], *, split: GroupRule) -> DataSplits:
    """The parts that a rule makes of the groups; `read` returns the samples of some of them."""
    parts = split.assign(groups)

    def samples(part: Part) -> SampleDataset:
        return read(frozenset(group for group, place in parts.items() if place == part))

    has_test = "test" in parts.values()
    return DataSplits(train=samples("train"), val=samples("val"), test=samples("test") if has_test else None)


def expanded(path: str | Path) -> Path:
    """A path with `~` and environment variables expanded."""
    return Path(os.path.expandvars(os.path.expanduser(path)))


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
    """The image file of each name.

    Raises:
        ValueError: As `files_by_stem`, or two of one name.
    """
    found = files_by_stem(folder)
    for stem, (first, *others) in found.items():
        if others:
            raise ValueError(f"Expected one file named {stem} in {folder}, but got {first} and {others[0]}.")
    return {stem: first for stem, (first, *_) in found.items()}


def files_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Name without suffix -> the image files of that name, by path; files whose names begin with a dot are left out.

    Raises:
        ValueError: A missing folder, or one without image files.
    """
    if not folder.is_dir():
        raise ValueError(f"Expected a folder at {folder}, but there is none.")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path)
    if not found:
        raise ValueError(f"Expected files ending in {', '.join(SUFFIXES)} in {folder}, but got {listed(folder)}.")
    return found


def read_checked(image: Path, label: Path) -> np.ndarray:
    """(H, W) the label map of an image.

    Raises:
        ValueError: it cannot be decoded, or is not of its image's size.
    """
    labels = read_label_map(label)
    size = image_size(image)
    if labels.shape != size:
        raise ValueError(f"Expected {label} of the size of its image {image}, {size}, but got {labels.shape}.")
    return labels


def listed(folder: Path) -> str:
    """The first names in a folder, for a message."""
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") if names else "an empty folder"
