"""`CocoSamples`: images with a COCO instances file, whose masks are polygons or run lengths."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from sam_ft.checks import expect_whole_number, shortened
from sam_ft.data.coco_annotations import CocoAnnotations, CocoImage, read_coco_annotations
from sam_ft.data.folders import divided_files, expanded, listed
from sam_ft.data.groups import with_groups
from sam_ft.data.image_files import image_size, read_image
from sam_ft.data.leaks import refuse_shared_groups
from sam_ft.data.pixels import Look, PixelRule
from sam_ft.data.splits import DataSplits, GroupSplit, Part
from sam_ft.masks.rle import RunLengths, areas, decode, splits_of
from sam_ft.masks.room import expect_room
from sam_ft.types import Sample, blank_image

_logger = logging.getLogger(__name__)
_PART = "{part}"


class CocoSamples:
    """The images of a COCO instances file with their objects.

    Annotations with `iscrowd` cover many objects at once, so that none of them is taught or measured by them: their
    pixels are `Sample.ignored` where no object covers them. Construction reads the JSON file; images are read, and
    masks drawn, when needed. Memory: see `CocoAnnotations`.

    Args:
        annotations: Path of the JSON file, or what `read_coco_annotations` made of it.
        images: Folder that the `file_name`s are in.
        categories: Names of the categories to take; None: all. Crowds of others are not ignored but background.
        min_area_px: Smaller objects are left out, as are polygons that hold no pixel's middle.
        names: The images to take, by `file_name`; None: all.
        **look: How pixels are shown; see `PixelRule`.

    Attributes:
        images: Those with an annotation of the categories that is no crowd, in the order of the file; others are left
            out with a warning that counts them.

    Raises:
        ValueError: What `read_coco_annotations` raises, an unknown category, a missing image, or none with an object.
    """

    def __init__(
        self,
        annotations: str | Path | CocoAnnotations,
        images: str | Path,
        *,
        categories: Sequence[str] | None = None,
        min_area_px: int = 1,
        names: frozenset[str] | None = None,
        **look: Unpack[Look],
    ) -> None:
        if not isinstance(annotations, CocoAnnotations):
            annotations = read_coco_annotations(Path(annotations))
        self.annotations = annotations
        self.folder = Path(images)
        self.pixels = PixelRule(**look)
        self.min_area_px = expect_whole_number("min_area_px", min_area_px, least=1)
        self._is_wanted = np.isin(annotations.categories, _category_indices(annotations, categories))
        chosen = [i for i, image in enumerate(annotations.images) if names is None or image.file_name in names]
        self._chosen = [index for index in chosen if len(self._of(index, is_crowd=False))]
        if not self._chosen:
            raise ValueError(
                f"Expected objects of {', '.join(categories or annotations.category_names) or 'a category'} in the "
                f"{len(chosen)} images of {annotations.path}, but there is none."
            )
        if len(self._chosen) < len(chosen):
            _logger.warning(
                "%d of %d images in %s hold no object and are left out.",
                len(chosen) - len(self._chosen), len(chosen), annotations.path,
            )  # fmt: skip
        self.images = [annotations.images[index] for index in self._chosen]
        _expect_files(self.folder, self.images, annotations.path)
        self._names = _unique_names(self.images, annotations.path)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(self.folder / image.file_name for image in self.images)

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those, and those of the labels."""
        return (*self.image_files, self.annotations.path)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Sample:
        sample = self.without_image(index)
        image = read_image(self.folder / self.images[index].file_name, self.pixels)
        return replace(sample, image=torch.from_numpy(image))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that of the file its header alone is read."""
        described, position = self.images[index], self._chosen[index]
        path = self.folder / described.file_name
        if (size := image_size(path)) != described.size:
            raise ValueError(
                f"Expected {path} (height, width) of {described.size}, as {self.annotations.path} says of image "
                f"{described.identity}, but got {size}."
            )
        objects = self._of(position, is_crowd=False)
        expect_room(len(objects), size=described.size, path=self.annotations.path)
        run_lengths = self._stack(objects, described.size)
        large = areas(run_lengths) >= self.min_area_px
        masks = decode(run_lengths)[large]
        crowds = self._of(position, is_crowd=True)
        ignored = None
        if len(crowds):
            ignored = decode(self._stack(crowds, described.size)).any(axis=0) & ~masks.any(axis=0)
        return Sample(
            image=blank_image(*described.size),
            masks=torch.from_numpy(masks),
            class_names=tuple(
                self.annotations.category_names[category] for category in self.annotations.categories[objects[large]]
            ),
            name=self._names[index],
            ignored=None if ignored is None else torch.from_numpy(ignored),
        )

    def classes_at(self, index: int) -> tuple[str, ...]:
        """The classes of a sample's objects, those too small to be kept included; nothing is drawn or read."""
        objects = self._of(self._chosen[index], is_crowd=False)
        return tuple(self.annotations.category_names[category] for category in self.annotations.categories[objects])

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _of(self, image: int, *, is_crowd: bool) -> np.ndarray:
        """The wanted annotations of an image."""
        indices = self.annotations.annotations_of(image)
        return indices[self._is_wanted[indices] & (self.annotations.is_crowd[indices] == is_crowd)]

    def _stack(self, indices: np.ndarray, size: tuple[int, int]) -> RunLengths:
        each = [self.annotations.run_lengths(index, size).counts for index in indices.tolist()]
        return RunLengths(size, np.concatenate(each), splits_of(np.array([len(counts) for counts in each])))


def coco_splits(
    root: str | Path,
    *,
    split: GroupSplit,
    annotations: str,
    group: str | None = None,
    images: str = "images",
    categories: Sequence[str] | None = None,
    min_area_px: int = 1,
    **look: Unpack[Look],
) -> DataSplits:
    """`CocoSamples` in parts, as files say or by a rule.

    Args:
        root: Folder of the data set; `~` and environment variables are expanded.
        split: How images are divided where `annotations` is one file.
        annotations: Path of the JSON file below the root. With {part} in it there is a file for train, for val and,
            perhaps, for test.
        group: Which images stay together; see `divided_files`. Files that are the parts must not share a group.
        images: Folder of images below the root; {part} as above.
        categories: Names of the categories to take; None: all.
        min_area_px: Smaller objects are left out.
        **look: How pixels are shown; see `PixelRule`.

    Raises:
        ValueError: A file is missing, or what `CocoSamples` raises.
    """
    folder = expanded(root)

    def read(described: Path | CocoAnnotations, part: str, names: frozenset[str] | None = None) -> CocoSamples:
        place = folder / images.replace(_PART, part)
        return CocoSamples(described, place, categories=categories, min_area_px=min_area_px, names=names, **look)

    if _PART not in annotations:
        everything = read_coco_annotations(folder / annotations)
        samples = read(everything, "")
        found = {image.file_name: path for image, path in zip(samples.images, samples.image_files, strict=True)}
        return divided_files(found, lambda chosen: read(everything, "", chosen), split=split, group=group)
    files = {part: folder / annotations.replace(_PART, part) for part in ("train", "val", "test")}
    for part in ("train", "val"):
        if not files[part].is_file():
            raise ValueError(f"Expected the annotations of {part} in {files[part]}, but got {listed(folder)}.")
    names: list[Part] = ["train", "val", "test"] if files["test"].is_file() else ["train", "val"]
    parts = {name: read(files[name], name) for name in names}
    if group is not None:
        refuse_shared_groups({name: with_groups(part.image_files, group) for name, part in parts.items()})
    return DataSplits(train=parts["train"], val=parts["val"], test=parts.get("test"))


def _category_indices(annotations: CocoAnnotations, names: Sequence[str] | None) -> list[int]:
    known = annotations.category_names
    if names is None:
        return list(range(len(known)))
    if isinstance(names, str) or not names:
        raise ValueError(f"Expected `categories` to be a list of names, but got {names!r}.")
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"Expected categories of {annotations.path} ({', '.join(known)}), but got {', '.join(map(str, unknown))}."
        )
    return [index for index, name in enumerate(known) if name in names]


def _expect_files(folder: Path, images: Sequence[CocoImage], path: Path) -> None:
    """Refuse images that are not there; every folder is listed once."""
    found: dict[Path, set[str]] = {}
    for image in images:
        place = (folder / image.file_name).parent
        if place not in found:
            try:
                found[place] = set(os.listdir(place))
            except (OSError, ValueError):  # no folder, or a name that no file system takes
                found[place] = set()
        if Path(image.file_name).name not in found[place]:
            where = shortened(str(folder / image.file_name), 400)
            raise ValueError(f"Expected image {image.identity} of {path} at {where}, but there is none.")


def _unique_names(images: Sequence[CocoImage], path: Path) -> list[str]:
    """Of the samples: file names without suffix, or with it where two would be the same."""
    full = [image.file_name.replace("/", "_") for image in images]
    short = [name.rpartition(".")[0] or name for name in full]
    shared = Counter(short)
    names = [long if shared[name] > 1 else name for name, long in zip(short, full, strict=True)]
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise ValueError(f"Expected each `file_name` once in {path}, but {twice} is there twice.")
    return names
