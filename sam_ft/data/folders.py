"""Folders of images and label maps: files paired by their names, parts by folders or by a rule."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from sam_ft.data.groups import group_in, with_groups
from sam_ft.data.image_files import SUFFIXES, image_size, read_label_map
from sam_ft.data.leaks import refuse_shared_groups, refuse_shared_images
from sam_ft.data.splits import DataSplits, GroupRule, GroupSplit, Part, SampleDataset

_Samples = TypeVar("_Samples", bound=SampleDataset)


class FileSamples(SampleDataset, Protocol):
    """Samples of which each is read from a file."""

    @property
    def image_files(self) -> Collection[Path]:
        """Those that the images are read from."""
        ...


ReadFolder = Callable[[Path, frozenset[str] | None], FileSamples]
"""(folder that holds images and label maps, names of the files to take or None for all) -> their samples."""


def folder_splits(
    root: str | Path,
    read: ReadFolder,
    *,
    split: GroupSplit,
    group: str | None = None,
    images: str = "images",
    labels: str = "labels",
) -> DataSplits:
    """Parts as the folders say or by a rule.

    `ROOT/train/images`, `ROOT/train/labels`, the same under `val` and, where there is one, `test`: the folders
    are the parts and `split` is not used. `ROOT/images`, `ROOT/labels` without parts: `split` divides the files.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        read: Reads one part.
        split: How files are divided where no folders do.
        group: Which files stay together; see `divided_files`.
        images: Name of the folders of images.
        labels: Name of the folders of label maps.

    Raises:
        ValueError: Neither layout is found, or what `read`, `parts_in_folders` and `divided_files` raise.
    """
    folder = expanded(root)
    if parts := parts_in_folders(folder, lambda part: read(part, None), files=image_files, group=group):
        return parts
    if not (folder / images).is_dir():
        raise ValueError(
            f"Expected {folder} to hold the folders {images} and {labels}, or train and val (and test) "
            f"with these inside, but got {listed(folder)}."
        )
    files = {image.stem: image for image, _ in pair_by_stem(folder / images, folder / labels)}
    return divided_files(files, lambda chosen: read(folder, chosen), split=split, group=group)


def parts_in_folders(
    folder: Path,
    read: Callable[[Path], _Samples],
    *,
    files: Callable[[_Samples], Collection[Path]],
    group: str | None = None,
) -> DataSplits | None:
    """The parts that the folders train, val and, where there is one, test inside are; None without train and val.

    Args:
        folder: With the folders of the parts.
        read: Reads one part.
        files: What its images are read from, such as `image_files`.
        group: What never comes apart: a regular expression on the image's path, see `group_in`; None: nothing is said.

    Raises:
        ValueError: Two parts share a group or an image, or what `read` raises.
    """
    if not ((folder / "train").is_dir() and (folder / "val").is_dir()):
        return None
    names: list[Part] = ["train", "val", "test"] if (folder / "test").is_dir() else ["train", "val"]
    parts = {name: read(folder / name) for name in names}
    found = {name: files(part) for name, part in parts.items()}
    if group is not None:
        refuse_shared_groups({name: with_groups(paths, group) for name, paths in found.items()})
    refuse_shared_images(found)
    return DataSplits(train=parts["train"], val=parts["val"], test=parts.get("test"))


def image_files(samples: FileSamples) -> Collection[Path]:
    """Those that the images are read from."""
    return samples.image_files


def divided_files(
    images: Mapping[str, Path],
    read: Callable[[frozenset[str]], SampleDataset],
    *,
    split: GroupRule,
    group: str | None = None,
) -> DataSplits:
    """The parts that a rule makes of images, or of groups of them.

    Args:
        images: Name -> file.
        read: Returns the samples of some names.
        split: Which groups belong to which part.
        group: Which images stay together: those for which the first parentheses of this regular expression match the
            same text in the path, such as `"(patient[0-9]+)"`; that text is the group. None: each is its own.

    Raises:
        ValueError: What `group_in`, the split and `read` raise.
    """
    group_of = {name: name if group is None else group_in(path, group) for name, path in images.items()}
    return divided(
        list(group_of.values()),
        lambda chosen: read(frozenset(name for name, own in group_of.items() if own in chosen)),
        split=split,
    )


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
