"""Two models on the same masks: what changed, by how much, and whether that is more than chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sam_ft.evaluation.records.mask_record import MaskRecord, answer_key, prompt_key, prompt_order, prompt_words
from sam_ft.evaluation.records.sizes import SizeClass
from sam_ft.metrics.bootstrap import LEAST_CLUSTERS, clustered_interval

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "no clear difference", "too few images"
SMALL, LARGE = 32**2, 96**2
"""COCO's limits between small, medium and large objects, in pixels of the source."""


@dataclass(frozen=True)
class Change:
    """The mean of something over masks (or images) before and after, and the 95 % interval of the paired difference.

    It has no interval if there are fewer than `LEAST_CLUSTERS` images.
    """

    prompt: str  # what was asked: "1 click", "box", ...
    objects: str  # of which objects: "all", or a size
    count: int  # masks, or images
    num_images: int
    before: float
    after: float
    difference: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """In words: better or worse if the interval lies on one side of zero."""
        if self.low is None or self.high is None:
            return UNKNOWN
        return BETTER if self.low > 0 else WORSE if self.high < 0 else SAME


def change(
    before: Sequence[float], after: Sequence[float], images: Sequence[str], *, prompt: str, objects: str = "all"
) -> Change:
    """The change of paired values; images are drawn as a whole (`clustered_interval`).

    Args:
        before: a value for each mask.
        after: the values of the same masks.
        images: the image of each mask.
        prompt: what was asked.
        objects: of which objects.

    Raises:
        ValueError: there are no values, or not equally many.
    """
    if len(before) != len(after):
        raise ValueError(f"Expected paired values, but got {len(before)} before and {len(after)} after.")
    first, second = (torch.tensor(values, dtype=torch.float64) for values in (before, after))
    interval, num_images = clustered_interval(second - first, images), len(set(images))
    low, high = interval.ends if num_images >= LEAST_CLUSTERS else (None, None)
    return Change(
        prompt=prompt,
        objects=objects,
        count=len(before),
        num_images=num_images,
        before=float(first.mean()),
        after=float(second.mean()),
        difference=interval.mean,
        low=low,
        high=high,
    )


def changes_by_prompt(before: Sequence[MaskRecord], after: Sequence[MaskRecord]) -> list[Change]:
    """The change of mIoU for each prompt: clicks in order, then the box, alone and with clicks.

    Raises:
        ValueError: the records are not of the same masks and prompts.
    """
    return _changes(before, after, objects="all", wanted=lambda record: True)


def changes_by_size(before: Sequence[MaskRecord], after: Sequence[MaskRecord]) -> list[Change]:
    """The change of mIoU for each size of objects that there is, and for each prompt; empty if all are of one size.

    Raises:
        ValueError: the records are not of the same masks and prompts.
    """
    areas = {(record.image, record.object_index): record.area_px for record in before}
    found = []
    for size in size_classes(list(areas.values())):

        def has_size(record: MaskRecord, size: SizeClass = size) -> bool:
            return size.holds(record.area_px)

        found += _changes(before, after, objects=size.name, wanted=has_size)
    return found


def changes_by_class(before: Sequence[MaskRecord], after: Sequence[MaskRecord]) -> list[Change]:
    """The change of mIoU for each class and for each prompt; empty if all objects are of one class.

    Raises:
        ValueError: the records are not of the same masks and prompts.
    """
    names = sorted({record.class_name for record in before})
    found = []
    for name in names if len(names) > 1 else []:

        def has_class(record: MaskRecord, name: str = name) -> bool:
            return record.class_name == name

        found += _changes(before, after, objects=name, wanted=has_class)
    return found


def size_classes(areas_px: Sequence[float]) -> list[SizeClass]:
    """The sizes into which objects fall: COCO's, or thirds.

    COCO's limits are 32² and 96² pixels. In small images, or in those of one kind of cell, all objects may lie between
    two of them; then the objects are divided into a smallest, a middle and a largest third. Equal areas stay
    together, so that the thirds may be unequal, or two.

    Args:
        areas_px: of the objects, in pixels of the source.

    Returns:
        The classes that hold an object, from small to large; empty if there is only one.
    """
    coco = [
        SizeClass("small (below 32² px)", 0, SMALL),
        SizeClass("medium (32² to 96² px)", SMALL, LARGE),
        SizeClass("large (from 96² px)", LARGE, math.inf),
    ]
    occupied = [size for size in coco if any(size.holds(area) for area in areas_px)]
    if len(occupied) < 2:
        occupied = _thirds(sorted(areas_px))
    return occupied if len(occupied) > 1 else []


def _thirds(ordered: Sequence[float]) -> list[SizeClass]:
    """Classes of about equally many areas; each holds one, so there are fewer where most areas are equal."""
    distinct = sorted(set(ordered))
    if len(distinct) < 2:
        return []
    first = max(ordered[len(ordered) // 3], distinct[1])
    second = max(ordered[len(ordered) * 2 // 3], first)
    if second == first:
        second = next((area for area in distinct if area > first), math.inf)
    if second == math.inf:
        return [
            SizeClass(f"smaller (below {first:g} px)", 0, first),
            SizeClass(f"larger (from {first:g} px)", first, second),
        ]
    return [
        SizeClass(f"smallest third (below {first:g} px)", 0, first),
        SizeClass(f"middle third ({first:g} to {second:g} px)", first, second),
        SizeClass(f"largest third (from {second:g} px)", second, math.inf),
    ]


def _changes(
    before: Sequence[MaskRecord],
    after: Sequence[MaskRecord],
    *,
    objects: str,
    wanted: Callable[[MaskRecord], bool],
) -> list[Change]:
    if [answer_key(record) for record in before] != [answer_key(record) for record in after]:
        raise ValueError("Expected records of the same masks and prompts before and after, but they differ.")
    pairs: dict[tuple[int, int], list[tuple[MaskRecord, MaskRecord]]] = {}
    for pair in zip(before, after, strict=True):
        if wanted(pair[0]):
            pairs.setdefault(prompt_order(pair[0]), []).append(pair)
    return [
        change(
            [first.iou for first, _ in pairs[place]],
            [second.iou for _, second in pairs[place]],
            [first.image for first, _ in pairs[place]],
            prompt=prompt_words(prompt_key(pairs[place][0][0])),
            objects=objects,
        )
        for place in sorted(pairs)
    ]
