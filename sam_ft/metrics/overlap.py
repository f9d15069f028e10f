"""How well two masks agree."""

from __future__ import annotations

import torch
from torch import Tensor

from sam_ft.masks.areas import mask_areas


def iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Intersection over union (Jaccard index) of each pair of masks.

    Args:
        masks: `(..., H, W)` bool.
        targets: `(..., H, W)` bool of the same height and width; the leading dimensions broadcast.

    Returns:
        `(...)` float32 in [0, 1]; 1 where both masks are empty, 0 where one of them is.

    Raises:
        ValueError: either is not bool, or the sizes differ.
    """
    _check(masks, targets)
    intersection = mask_areas(masks & targets)
    union = mask_areas(masks) + mask_areas(targets) - intersection
    return torch.where(union > 0, intersection / union.clamp(min=1), 1.0)


def dice(masks: Tensor, targets: Tensor) -> Tensor:
    """Dice coefficient (F1 of the pixels) of each pair of masks: `2 iou / (1 + iou)`.

    Args:
        masks: `(..., H, W)` bool.
        targets: `(..., H, W)` bool of the same height and width; the leading dimensions broadcast.

    Returns:
        `(...)` float32 in [0, 1]; 1 where both masks are empty, 0 where one of them is.

    Raises:
        ValueError: either is not bool, or the sizes differ.
    """
    _check(masks, targets)
    total = mask_areas(masks) + mask_areas(targets)
    return torch.where(total > 0, 2 * mask_areas(masks & targets) / total.clamp(min=1), 1.0)


def _check(masks: Tensor, targets: Tensor) -> None:
    for name, value in (("masks", masks), ("targets", targets)):
        if value.dtype != torch.bool or value.ndim < 2:
            raise ValueError(f"Expected `{name}` (..., H, W) of bool, but got {tuple(value.shape)} of {value.dtype}.")
    if masks.shape[-2:] != targets.shape[-2:]:
        raise ValueError(
            "Expected `masks` and `targets` of the same height and width, "
            f"but got {tuple(masks.shape)} and {tuple(targets.shape)}."
        )
