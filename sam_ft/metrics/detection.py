"""How well a set of masks finds the objects of an image: neither missed, nor invented, nor found twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""0.5, 0.55, ..., 0.95: COCO's."""

Pair = tuple[float, int, int]
"""IoU, mask, object."""


def mask_ious(masks: Tensor, targets: Tensor) -> Tensor:
    """The IoU of every mask with every object.

    Args:
        masks: `(K, H, W)` bool.
        targets: `(N, H, W)` bool.

    Returns:
        `(K, N)` float64, so that 7 pixels of 10 reach a threshold of 0.7; 0 where both are empty.

    Raises:
        ValueError: either is not bool, or the sizes differ.
    """
    if masks.dtype != torch.bool or targets.dtype != torch.bool or masks.shape[1:] != targets.shape[1:]:
        raise ValueError(
            f"Expected `masks` (K, H, W) and `targets` (N, H, W) of bool, but got {tuple(masks.shape)} of "
            f"{masks.dtype} and {tuple(targets.shape)} of {targets.dtype}."
        )
    first, second = masks.flatten(1).float(), targets.flatten(1).float()
    shared = (first @ second.T).double()  # (K, N), exact up to 2^24 pixels
    union = first.sum(dim=1, dtype=torch.float64)[:, None] + second.sum(dim=1, dtype=torch.float64) - shared
    return shared / union.clamp(min=1)


def overlapping_pairs(ious: Tensor, *, least: float = IOU_THRESHOLDS[0]) -> list[Pair]:
    """The pairs whose IoU is at least `least`, the largest first; of equals, in the order of masks and objects.

    Args:
        ious: `(K, N)`, of K masks with N objects.
        least: smaller ones are left out.
    """
    rows, columns = (ious >= least).nonzero(as_tuple=True)
    pairs = zip(ious[rows, columns].tolist(), rows.tolist(), columns.tolist(), strict=True)
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


def greedy_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """A one-to-one matching: always the best pair of which neither is taken.

    The pairs of at least some IoU are the matching at that threshold, so that one walk serves all thresholds.

    Args:
        pairs: the largest IoU first, as `overlapping_pairs` gives them.

    Returns:
        The largest IoU first.
    """
    masks, objects, matched = set(), set(), []
    for pair in pairs:
        _, mask, target = pair
        if mask not in masks and target not in objects:
            masks.add(mask)
            objects.add(target)
            matched.append(pair)
    return matched


def num_counted(matched: Iterable[Pair], *, excused: Tensor) -> int:
    """How many masks count: all but those that are excused and match nothing.

    Args:
        matched: the pairs of a one-to-one matching.
        excused: `(K,)` bool: masks that are not wrong if they match nothing.
    """
    partners = {mask for _, mask, _ in matched}
    return len(partners.union((~excused).nonzero().flatten().tolist()))


def detection_accuracy(matched: Sequence[Pair], *, num_masks: int, num_objects: int) -> float:
    """The mean over `IOU_THRESHOLDS` of TP / (TP + FP + FN).

    Also called mean segmentation accuracy (mSA). A matched pair is a true positive where its IoU reaches the
    threshold; every other mask is a false positive, every other object a false negative.

    Args:
        matched: the pairs of a one-to-one matching.
        num_masks: how many masks there are.
        num_objects: how many objects there are.

    Returns:
        0 to 1; 1 where there are neither masks nor objects.

    Source: Caicedo et al. 2019 (Data Science Bowl 2018); micro-sam's evaluation.
    """
    if num_masks + num_objects == 0:
        return 1.0
    hits = [sum(iou >= threshold for iou, _, _ in matched) for threshold in IOU_THRESHOLDS]
    return sum(count / (num_masks + num_objects - count) for count in hits) / len(hits)
