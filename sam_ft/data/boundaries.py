"""The objects of a data set as two classes, interior and boundary, so that a class map can tell neighbours apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from sam_ft.checks import expect_whole_number
from sam_ft.data.source_files import source_files_of
from sam_ft.data.splits import DataSplits, SampleDataset, without_image
from sam_ft.types import Sample

INTERIOR = "interior"
BOUNDARY = "boundary"


class BoundarySamples:
    """The samples of a data set whose objects, of any class, have become an interior and a boundary.

    The boundary is the outermost `boundary_px` pixels of an object, all of them inside it; where an object meets the
    edge of the image it goes on and has none. Where objects overlap, the boundary of either counts. Of an object that
    is too small for an interior the innermost pixels are it.

    Args:
        objects: The data set itself.
        boundary_px: Width of the boundary in pixels of the source.

    Attributes:
        class_names: `INTERIOR` and `BOUNDARY`.
        suited_augmentation: That of the data set.
    """

    class_names = (INTERIOR, BOUNDARY)

    def __init__(self, objects: SampleDataset, *, boundary_px: int) -> None:
        self.objects = objects
        self.boundary_px = boundary_px
        self.suited_augmentation: str = getattr(objects, "suited_augmentation", "light")

    @property
    def source_files(self) -> tuple[Path, ...] | None:
        """Those that the samples come from; None where they are not known."""
        return source_files_of([self.objects])

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> Sample:
        return self._taken_apart(self.objects[index])

    def without_image(self, index: int) -> Sample:
        """The same sample, of which the image may be blank if the data set can leave it unread."""
        return self._taken_apart(without_image(self.objects, index))

    def only(self, indices: Sequence[int]) -> BoundarySamples:
        """Some of the samples."""
        chosen: SampleDataset = torch.utils.data.Subset(self.objects, indices)  # type: ignore[arg-type]
        return BoundarySamples(chosen, boundary_px=self.boundary_px)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _taken_apart(self, sample: Sample) -> Sample:
        interior, boundary = _interior_and_boundary(sample.masks.numpy(), boundary_px=self.boundary_px)
        present = [
            (name, mask) for name, mask in zip(self.class_names, (interior, boundary), strict=True) if mask.any()
        ]
        masks = np.stack([mask for _, mask in present]) if present else np.zeros((0, *interior.shape), dtype=bool)
        return replace(sample, masks=torch.from_numpy(masks), class_names=tuple(name for name, _ in present))


def boundary_splits(of: DataSplits, *, boundary_px: int = 2) -> DataSplits:
    """The parts of a data set with interiors and boundaries in place of its objects.

    Args:
        of: The data set.
        boundary_px: Width of the boundary in pixels of the source.

    Raises:
        ValueError: There is no data set, or the width is below 1.
    """
    if not isinstance(of, DataSplits):
        raise ValueError("Expected a data set to find boundaries in, but got none: +data@data.of=NAME data.of.root=...")
    width = expect_whole_number("boundary_px", boundary_px, least=1)
    return DataSplits(
        train=BoundarySamples(of.train, boundary_px=width),
        val=BoundarySamples(of.val, boundary_px=width),
        test=None if of.test is None else BoundarySamples(of.test, boundary_px=width),
    )


def _interior_and_boundary(masks: np.ndarray, *, boundary_px: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) bool -> two of (H, W) bool, which do not overlap and together are all objects."""
    interior, boundary = np.zeros((2, *masks.shape[1:]), dtype=bool)
    for mask in masks:
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            continue
        around = tuple(slice(max(each[0] - 1, 0), each[-1] + 2) for each in (rows, columns))
        own = mask[around]
        core = ndimage.binary_erosion(own, iterations=boundary_px, border_value=1)
        if not core.any():
            depths = ndimage.distance_transform_edt(own)
            core = depths == depths.max()
        interior[around] |= core
        boundary[around] |= own & ~core
    return interior & ~boundary, boundary
