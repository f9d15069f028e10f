"""COCO's average precision and average recall, from the scores of masks and how they overlap the objects.

`match` decides within one image which mask finds which object; `precision_curves` and `average_recall` add images up.
All classes count as one where an image's masks are compared with all its objects (COCO's `useCats = 0`); else each
class is measured on its own, and the mean taken over those that are not None. Results equal those of pycocotools.

Source: Lin et al., "Microsoft COCO" (2014); pycocotools, `cocoeval.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from sam_ft.metrics.detection import IOU_THRESHOLDS

ALL_SIZES = (0.0, 1e10)
SIZES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
)
"""COCO's sizes of objects: the smallest and the largest number of pixels, both included."""

RECALLS = np.linspace(0.0, 1.0, 101)
"""At which the precision is averaged."""

AP50, AP75 = 0, 5
"""The places of these thresholds in `IOU_THRESHOLDS`."""

_SURE = 2  # what an object that counts has over one that is ignored; above any IoU


@dataclass(frozen=True)
class Detections:
    """The masks found in one image, of one class or of all, and how they overlap the objects there.

    Attributes:
        scores: (K,), in any order; of equal ones the first comes first.
        ious: (K, N) float64; with a crowd the share of the *mask* that lies in it.
        areas: (K,) pixels of the masks.
        object_areas: (N,) pixels of the objects.
        is_crowd: (N,) bool: regions of many objects in which masks are neither right nor wrong.
    """

    scores: Tensor
    ious: Tensor
    areas: Tensor
    object_areas: Tensor
    is_crowd: Tensor

    def __post_init__(self) -> None:
        shape = (len(self.scores), len(self.object_areas))
        if self.ious.shape != shape or self.areas.shape != shape[:1] or self.is_crowd.shape != shape[1:]:
            raise ValueError(
                f"Expected `ious` {shape}, `areas` {shape[:1]} and `is_crowd` {shape[1:]}, "
                f"but got {tuple(self.ious.shape)}, {tuple(self.areas.shape)} and {tuple(self.is_crowd.shape)}."
            )


@dataclass(frozen=True)
class Matches:
    """What became of each of K masks at each of T thresholds, the best score first; hits and others are misses."""

    scores: Tensor  # (K,)
    hits: Tensor  # (T, K) bool
    excused: Tensor  # (T, K) bool: neither right nor wrong
    num_objects: int  # that count


def match(detections: Detections, *, area_range: tuple[float, float] = ALL_SIZES) -> Matches:
    """Which masks find an object, at each of `IOU_THRESHOLDS`.

    One after the other, the best score first, a mask takes the object that it overlaps most among those that are
    left. Objects outside the range do not count; a mask that finds one, or finds nothing and is outside the range
    itself, is excused.

    Args:
        detections: of one image.
        area_range: the smallest and the largest number of pixels of the objects that count.
    """
    order = detections.scores.argsort(descending=True, stable=True)
    ious = detections.ious[order].double().flip(1)  # (K, N); flipped, as of equal overlaps the last object is taken
    is_crowd = detections.is_crowd.flip(0)
    ignored = is_crowd | _outside(detections.object_areas.flip(0), area_range)  # (N,)
    limits = torch.tensor(IOU_THRESHOLDS, dtype=torch.float64)[:, None]  # (T, 1)
    hits = torch.zeros(len(limits), len(ious), dtype=torch.bool)
    excused = torch.zeros_like(hits)
    taken = torch.zeros(len(limits), len(ignored), dtype=torch.bool)
    for place in (ious >= limits[0]).any(dim=1).nonzero().flatten().tolist():
        free = (ious[place] >= limits) & (~taken | is_crowd)  # (T, N)
        value = torch.where(free, ious[place] + _SURE * ~ignored, -1.0)
        best = value.argmax(dim=1, keepdim=True)  # (T, 1)
        found = value.gather(1, best) >= 0
        taken.scatter_(1, best, taken.gather(1, best) | found)
        counts = ~ignored[best]
        hits[:, place], excused[:, place] = (found & counts)[:, 0], (found & ~counts)[:, 0]
    excused |= ~hits & _outside(detections.areas[order], area_range)
    return Matches(detections.scores[order], hits, excused, num_objects=int((~ignored).sum()))


def precision_curves(images: Sequence[Matches], *, max_detections: int = 100) -> Tensor | None:
    """The precision at 101 recalls from 0 to 1, for each threshold; AP is the mean of all, AP50 that of the first row.

    Args:
        images: of one class, or of all as one.
        max_detections: of each image only so many masks count, the best ones.

    Returns:
        (T, 101) float64, each the best precision at that recall or a higher one, 0 where it is not reached; None if
        no object counts.
    """
    num_objects = sum(image.num_objects for image in images)
    if not num_objects:
        return None
    order = torch.cat([image.scores[:max_detections] for image in images]).argsort(descending=True, stable=True)
    hits, excused = (
        torch.cat([part[:, :max_detections] for part in parts], dim=1)[:, order]
        for parts in ([image.hits for image in images], [image.excused for image in images])
    )
    right = hits.cumsum(dim=1).double()  # (T, K)
    wrong = (~hits & ~excused).cumsum(dim=1)
    precision = right / (right + wrong).clamp(min=1)
    best = precision.flip(1).cummax(dim=1).values.flip(1)
    best = torch.cat([best, best.new_zeros(len(best), 1)], dim=1)  # (T, K + 1)
    recalls = torch.from_numpy(RECALLS).expand(len(best), -1).contiguous()
    return best.gather(1, torch.searchsorted(right / num_objects, recalls))


def average_recall(images: Sequence[Matches], *, max_detections: int) -> float | None:
    """The share of the objects that are found, as the mean over the thresholds; AR@k for k masks of each image.

    Args:
        images: of one class, or of all as one.
        max_detections: of each image only so many masks count, the best ones.

    Returns:
        0 to 1; None if no object counts.
    """
    num_objects = sum(image.num_objects for image in images)
    if not num_objects:
        return None
    found = sum(int(image.hits[:, :max_detections].sum()) for image in images)
    return found / (num_objects * len(IOU_THRESHOLDS))


def _outside(areas: Tensor, area_range: tuple[float, float]) -> Tensor:
    return (areas < area_range[0]) | (areas > area_range[1])
