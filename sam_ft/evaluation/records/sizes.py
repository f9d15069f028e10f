"""The mean IoU of small and of large objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sam_ft.evaluation.records.mask_record import MaskRecord

MOST_BINS = 8


@dataclass(frozen=True)
class SizeClass:
    """Objects of at least `least` and less than `below` pixels of the source."""

    name: str
    least: float
    below: float

    def holds(self, area_px: float) -> bool:
        """Whether an area belongs to it."""
        return self.least <= area_px < self.below


def size_bins(areas_px: Sequence[float]) -> list[SizeClass]:
    """Sizes of objects, each twice, four times, ... as large as the one before, that all have an object.

    Args:
        areas_px: of the objects, in pixels of the source.

    Returns:
        At most eight bins from small to large; empty if there are no objects.
    """
    if not areas_px:
        return []
    first, last = (math.frexp(edge)[1] - 1 for edge in (min(areas_px), max(areas_px)))  # 2**first <= smallest
    doublings = math.ceil((last + 1 - first) / MOST_BINS)
    edges = [2**power for power in range(first, last + 1 + doublings, doublings)]
    bins = [SizeClass(f"{least:,} to {below:,} px", least, below) for least, below in pairwise(edges)]
    return [each for each in bins if any(each.holds(area) for area in areas_px)]


def records_by_size(records: Sequence[MaskRecord]) -> dict[str, list[MaskRecord]]:
    """From the name of each size to the records of its objects."""
    bins = size_bins([record.area_px for record in records])
    return {each.name: [record for record in records if each.holds(record.area_px)] for each in bins}
