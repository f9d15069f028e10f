"""Masks that a generator has found in an image, as run lengths, and all that its filters need to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from sam_ft.masks.rle import RunLengths
from sam_ft.masks.rle_placing import stacked, taken


@dataclass(frozen=True)
class Removed:
    """How many masks were proposed and how many each filter has removed, one after the other."""

    proposals: int = 0
    pred_iou: int = 0  # not trusted by the model itself
    stability_score: int = 0
    crop_edge: int = 0  # cut off by the edge of a crop
    box_nms: int = 0  # a better one of the same crop has nearly the same box
    crop_nms: int = 0  # one of a smaller crop has nearly the same box
    small_regions: int = 0  # nearly the same box as another one without holes and islands

    @property
    def kept(self) -> int:
        """How many are left."""
        return 2 * self.proposals - sum(getattr(self, each.name) for each in fields(self))

    def __add__(self, other: Removed) -> Removed:
        return Removed(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})


@dataclass(frozen=True)
class FoundMasks:
    """K masks of one image.

    Attributes:
        run_lengths: of the masks, at the image's resolution.
        boxes_xyxy: (K, 4) int64, first and last pixel; zeros for an empty mask.
        predicted_iou: (K,) float32.
        stability_score: (K,) float32.
        points_xy: (K, 2) float64, what was asked about, in pixels of the image.
        crop_boxes: (K, 4) int64, x0, y0, x1, y1 of the part of the image that was looked at.
        removed: what has been removed already.
    """

    run_lengths: RunLengths
    boxes_xyxy: np.ndarray
    predicted_iou: np.ndarray
    stability_score: np.ndarray
    points_xy: np.ndarray
    crop_boxes: np.ndarray
    removed: Removed = field(default_factory=Removed)

    def __len__(self) -> int:
        return len(self.run_lengths)

    def take(self, indices: np.ndarray, **removed: int) -> FoundMasks:
        """The masks at some indices, in their order.

        Args:
            indices: (L,) int64, or (K,) bool.
            removed: by which filter and how many the others were removed.
        """
        places = np.flatnonzero(indices) if indices.dtype == np.bool_ else indices
        arrays = {name: getattr(self, name)[places] for name in _ARRAYS}
        return FoundMasks(taken(self.run_lengths, places), **arrays, removed=self.removed + Removed(**removed))

    @classmethod
    def joined(cls, parts: Sequence[FoundMasks]) -> FoundMasks:
        """The masks of several crops of one image, one part at least."""
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        runs = stacked([part.run_lengths for part in parts], size=parts[0].run_lengths.size)
        return cls(runs, **arrays, removed=sum((part.removed for part in parts), Removed()))

    def with_masks(self, run_lengths: RunLengths, boxes_xyxy: np.ndarray) -> FoundMasks:
        """The same with other masks."""
        return replace(self, run_lengths=run_lengths, boxes_xyxy=boxes_xyxy)


_ARRAYS = ("boxes_xyxy", "predicted_iou", "stability_score", "points_xy", "crop_boxes")
