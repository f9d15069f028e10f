"""What a COCO instances file says, in a few arrays instead of an object for each number."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from sam_ft.checks import shortened
from sam_ft.data.json_files import json_elements
from sam_ft.masks.polygons import run_lengths_of_polygons
from sam_ft.masks.rle import RunLengths, splits_of
from sam_ft.masks.rle_coco import from_coco


@dataclass(frozen=True, eq=False)
class CocoImage:
    """One entry of `images`."""

    identity: int
    file_name: str
    size: tuple[int, int]  # (height, width)


@dataclass(frozen=True, eq=False)
class CocoAnnotations:
    """All images, categories and annotations of a file.

    Memory is 8 bytes per number, 34 per annotation of one part and about 400 per image: about what the file takes,
    where Python's objects would take several times as much. Processes forked from one that has read it share it.

    Attributes:
        path: Of the file, for messages.
        images: In the order of the file.
        category_names: In the order of the file.
        identities: (A,) int64: of the annotations, those of an image one after another.
        image_splits: (I + 1,) where the annotations of each image begin and end.
        categories: (A,) int64: index of each annotation's category.
        is_crowd: (A,) bool.
        is_rle: (A,) bool: the numbers are runs; otherwise corners of polygons, x and y in turn.
        parts: (A + 1,) where the parts of each annotation begin and end: polygons, or the one mask.
        part_splits: (P + 1,) where the numbers of each part begin and end.
        numbers: All numbers, float64.
    """

    path: Path
    images: tuple[CocoImage, ...]
    category_names: tuple[str, ...]
    identities: np.ndarray
    image_splits: np.ndarray
    categories: np.ndarray
    is_crowd: np.ndarray
    is_rle: np.ndarray
    parts: np.ndarray
    part_splits: np.ndarray
    numbers: np.ndarray

    def annotations_of(self, image: int) -> np.ndarray:
        """Indices of the annotations of an image, by its index."""
        return np.arange(self.image_splits[image], self.image_splits[image + 1])

    def run_lengths(self, annotation: int, size: tuple[int, int]) -> RunLengths:
        """The mask of an annotation, by its index.

        Raises:
            ValueError: It is none of this size; file and annotation are named.
        """
        first, last = self.parts[annotation], self.parts[annotation + 1]
        bounds = self.part_splits[first : last + 1]
        pieces = [self.numbers[start:stop] for start, stop in pairwise(bounds)]
        try:
            if self.is_rle[annotation]:
                return RunLengths(size, pieces[0].astype(np.int64), np.array([0, len(pieces[0])]))
            return run_lengths_of_polygons([piece.reshape(-1, 2) for piece in pieces], size=size)
        except ValueError as err:
            raise ValueError(f"{self.path}, annotation {self.identities[annotation]}: {err}") from err


def read_coco_annotations(path: Path) -> CocoAnnotations:
    """The annotations of a COCO instances file. The text is read once; its numbers go into arrays one by one.

    Raises:
        ValueError: The file is no such file, an id is there twice, an annotation names an image or a category that is
            not there or has no segmentation; the file, and the id of what is wrong, are named.
    """
    collected = _Collected(path)
    take = {"images": collected.take_image, "categories": collected.take_category, "annotations": collected.take}
    for name, element in json_elements(path, take):
        identity = element.get("id")
        if type(identity) is not int or not -(2**63) <= identity < 2**63:
            raise ValueError(f"Expected every one of the {name} in {path} to have a whole `id`, but got {identity!r}.")
        take[name](identity, element)
    return collected.sorted_by_image()


class _Collected:
    """What was read so far; the arrays of a file may come in any order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: dict[int, CocoImage] = {}
        self.categories: dict[int, str] = {}
        self.identities, self.image_of, self.category_of = array("q"), array("q"), array("q")
        self.is_crowd, self.is_rle, self.rle_sizes = array("b"), array("b"), array("q")
        self.num_parts, self.part_lengths, self.numbers = array("q"), array("q"), array("d")

    def take_image(self, identity: int, image: Mapping[str, Any]) -> None:
        file_name, height, width = (image.get(name) for name in ("file_name", "height", "width"))
        if not (isinstance(file_name, str) and file_name and _is_length(height) and _is_length(width)):
            raise ValueError(
                f"Expected `file_name`, `height` and `width` of image {identity} in {self.path}, "
                f"but got {shortened(repr(file_name))}, {shortened(repr(height))} and {shortened(repr(width))}."
            )
        if identity in self.images:
            raise ValueError(f"Expected each image once in {self.path}, but {identity} is there twice.")
        self.images[identity] = CocoImage(identity, file_name, (height, width))

    def take_category(self, identity: int, category: Mapping[str, Any]) -> None:
        name = category.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"Expected a `name` of category {identity} in {self.path}, but got {name!r}.")
        if identity in self.categories:
            raise ValueError(f"Expected each category once in {self.path}, but {identity} is there twice.")
        self.categories[identity] = name

    def take(self, identity: int, annotation: Mapping[str, Any]) -> None:
        """One annotation."""
        crowd, segmentation = annotation.get("iscrowd", 0), annotation.get("segmentation")
        if crowd not in (0, 1):
            raise self._wrong(identity, "`iscrowd` of 0 or 1", crowd)
        for name, indices in (("image_id", self.image_of), ("category_id", self.category_of)):
            number = annotation.get(name)
            if type(number) is not int or not -(2**63) <= number < 2**63:
                raise self._wrong(identity, f"a whole `{name}`", number)
            indices.append(number)
        self.identities.append(identity)
        self.is_crowd.append(bool(crowd))
        self.is_rle.append(isinstance(segmentation, dict))
        pieces = self._runs(identity, segmentation) if isinstance(segmentation, dict) else segmentation
        if not isinstance(pieces, list) or not pieces or not all(isinstance(piece, list) for piece in pieces):
            raise self._wrong(identity, "a `segmentation` of polygons or run lengths", segmentation)
        self.num_parts.append(len(pieces))
        for piece in pieces:
            if not isinstance(segmentation, dict) and (len(piece) < 6 or len(piece) % 2):
                raise self._wrong(identity, "polygons of 3 corners or more, x and y in turn", piece)
            self.part_lengths.append(len(piece))
            try:
                self.numbers.extend(piece)
            except (TypeError, OverflowError) as err:
                raise self._wrong(identity, "numbers in its `segmentation`", piece) from err

    def _runs(self, identity: int, segmentation: Mapping[str, Any]) -> list[list[int]]:
        try:
            run_lengths = from_coco([segmentation])
            self.rle_sizes.extend(run_lengths.size)
            return [run_lengths.counts.tolist()]
        except (ValueError, OverflowError) as err:
            raise ValueError(f"{self.path}, annotation {identity}: {err}") from err

    def _wrong(self, identity: int, wanted: str, found: object) -> ValueError:
        return ValueError(
            f"Expected {wanted} of annotation {identity} in {self.path}, but got {shortened(repr(found))}."
        )

    def sorted_by_image(self) -> CocoAnnotations:
        """Everything, checked."""
        identities = np.array(self.identities, dtype=np.int64)
        if len(values := np.unique(identities)) < len(identities):
            twice = values[np.bincount(np.searchsorted(values, identities)) > 1][0]
            raise ValueError(f"Expected each annotation once in {self.path}, but {twice} is there twice.")
        image = self._index(self.image_of, list(self.images), "images")
        category = self._index(self.category_of, list(self.categories), "categories")
        self._expect_drawable(image)
        order = np.argsort(image, kind="stable")
        is_sorted = bool((order[:-1] < order[1:]).all())
        num_parts = np.array(self.num_parts, dtype=np.int64)
        part_lengths, numbers = np.array(self.part_lengths, dtype=np.int64), np.frombuffer(self.numbers)
        if not is_sorted:
            parts, part_splits = splits_of(num_parts), splits_of(part_lengths)
            of_parts = _ranges(parts[:-1][order], num_parts[order])
            numbers = numbers[_ranges(part_splits[:-1][of_parts], part_lengths[of_parts])]
            num_parts, part_lengths = num_parts[order], part_lengths[of_parts]
        return CocoAnnotations(
            path=self.path,
            images=tuple(self.images.values()),
            category_names=tuple(self.categories.values()),
            identities=identities[order],
            image_splits=splits_of(np.bincount(image, minlength=len(self.images))),
            categories=category[order],
            is_crowd=np.array(self.is_crowd, dtype=np.bool_)[order],
            is_rle=np.array(self.is_rle, dtype=np.bool_)[order],
            parts=splits_of(num_parts),
            part_splits=splits_of(part_lengths),
            numbers=numbers,
        )

    def _expect_drawable(self, image_of: np.ndarray) -> None:
        """Refuse corners that are no numbers and run lengths of another size than their image's."""
        is_rle = np.array(self.is_rle, dtype=np.bool_)
        sizes = np.array([image.size for image in self.images.values()], dtype=np.int64).reshape(-1, 2)
        expected, found = sizes[image_of[is_rle]], np.array(self.rle_sizes, dtype=np.int64).reshape(-1, 2)
        if (wrong := np.flatnonzero((expected != found).any(axis=1))).size:
            identity = self.identities[int(np.flatnonzero(is_rle)[wrong[0]])]
            sizes_read = f"{expected[wrong[0]].tolist()}, but got {found[wrong[0]].tolist()}"
            raise ValueError(f"Expected annotation {identity} in {self.path} of its image's size {sizes_read}.")
        if (wrong := np.flatnonzero(~np.isfinite(np.frombuffer(self.numbers)))).size:
            part = np.searchsorted(np.cumsum(self.part_lengths), wrong[0], side="right")
            annotation = int(np.searchsorted(np.cumsum(self.num_parts), part, side="right"))
            raise self._wrong(self.identities[annotation], "finite corners", self.numbers[int(wrong[0])])

    def _index(self, of: array[int], known: list[int], kind: str) -> np.ndarray:
        """(A,) the index of each annotation's image or category among those in the file."""
        wanted, values = np.array(of, dtype=np.int64), np.array(known, dtype=np.int64)
        if not len(wanted):
            return wanted
        if not len(values):
            raise ValueError(f"Expected {kind} in {self.path}, but there are none.")
        order = np.argsort(values)
        place = order[np.minimum(np.searchsorted(values, wanted, sorter=order), len(values) - 1)]
        if (wrong := np.flatnonzero(values[place] != wanted)).size:
            raise ValueError(
                f"Expected annotation {self.identities[wrong[0]]} in {self.path} to be of one of the {kind}, "
                f"but got {wanted[wrong[0]]}, which is not there."
            )
        return place


def _is_length(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 2**31


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers from each start on, so many of each, one after another."""
    before = splits_of(lengths)
    return np.arange(before[-1]) + np.repeat(starts - before[:-1], lengths)
