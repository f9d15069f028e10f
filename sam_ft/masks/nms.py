"""Non-maximum suppression of boxes: of boxes that overlap much, the one with the best score stays.

Box j is dropped if and only if a better box i that *stays* overlaps it too much. Instead of the usual walk over the
boxes one by one, all boxes are decided at once, again and again, until nothing changes: after k rounds everything is
right that depends on chains of at most k boxes. The result is exactly that of the walk, in few rounds of tensor code.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_nms(boxes_xyxy: Tensor, scores: Tensor, *, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes_xyxy: `(K, 4)`.
        scores: `(K,)`; of equal ones the first comes first.
        iou_threshold: boxes overlap too much if their IoU is *above* it.

    Returns:
        The indices of the boxes that stay, `(L,)` int64, the best score first; empty for no boxes.

    Raises:
        ValueError: the shapes do not fit.

    Source: torchvision's `ops.nms`, which segment_anything calls; see `box_iou` for what an extent is.
    """
    if boxes_xyxy.ndim != 2 or boxes_xyxy.shape[1] != 4 or scores.shape != boxes_xyxy.shape[:1]:
        raise ValueError(
            f"Expected `boxes_xyxy` (K, 4) and `scores` (K,), "
            f"but got {tuple(boxes_xyxy.shape)} and {tuple(scores.shape)}."
        )
    order = scores.argsort(descending=True, stable=True)  # (K,)
    suppresses = suppression(boxes_xyxy[order], iou_threshold=iou_threshold)
    return order[survivors(torch.ones_like(order, dtype=torch.bool), suppresses)]


def suppression(boxes_xyxy: Tensor, *, iou_threshold: float) -> Tensor:
    """Which box would drop which, if it stays itself.

    Args:
        boxes_xyxy: `(K, 4)`, the best first.
        iou_threshold: boxes overlap too much if their IoU is above it.

    Returns:
        `(K, K)` bool: row i drops column j, only where j comes after i.
    """
    return (box_iou(boxes_xyxy, boxes_xyxy) > iou_threshold).triu(diagonal=1)


def survivors(eligible: Tensor, suppresses: Tensor) -> Tensor:
    """Which boxes stay, for any number of choices of boxes that take part at all.

    Args:
        eligible: `(..., K)` bool: who takes part; the others neither stay nor drop anybody.
        suppresses: `(K, K)` bool, from `suppression`.

    Returns:
        `(..., K)` bool.
    """
    weights = suppresses.float()
    stay = eligible
    while True:
        decided = eligible & (stay.float() @ weights == 0)  # (..., K)
        if torch.equal(decided, stay):
            return stay
        stay = decided


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """The IoU of every box of one set with every box of another.

    An extent is `x1 - x0`, as in torchvision and segment_anything, which gives a box of a single column no area.

    Args:
        first: `(K, 4)` as (x0, y0, x1, y1).
        second: `(L, 4)`.

    Returns:
        `(K, L)` float; 0 where neither box has an area.
    """
    begin = torch.maximum(first[:, None, :2], second[None, :, :2])  # (K, L, 2)
    end = torch.minimum(first[:, None, 2:], second[None, :, 2:])  # (K, L, 2)
    shared = (end - begin).clamp(min=0).prod(dim=-1)  # (K, L)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared  # (K, L)
    return torch.where(union > 0, shared / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)
