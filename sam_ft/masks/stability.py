"""How little a mask changes when its threshold moves: sharp masks are stable, smeared ones are not."""

from __future__ import annotations

import torch
from torch import Tensor

from sam_ft.masks.areas import mask_areas


def stability_score(logits: Tensor, *, threshold: float = 0.0, offset: float = 1.0) -> Tensor:
    """The IoU of the mask above `threshold + offset` and the mask above `threshold - offset`.

    The first lies inside the second, so that this is the ratio of their areas.

    Args:
        logits: `(..., H, W)`, with any number of leading dimensions.
        threshold: where the mask itself is cut.
        offset: how far the threshold moves up and down; with 0 every mask that has a pixel is perfectly stable.

    Returns:
        `(...)` float32 from 0 to 1; 0 where no logit lies above the lower threshold or there is no pixel at all
        (segment_anything divides by zero there, and its filter drops what is not a number).

    Raises:
        ValueError: `logits` is not floating point or has fewer than two dimensions, or `offset` is negative.

    Source: segment_anything, `utils/amg.py` (calculate_stability_score).
    """
    if not logits.is_floating_point() or logits.ndim < 2:
        raise ValueError(f"Expected `logits` (..., H, W) of floats, but got {tuple(logits.shape)} of {logits.dtype}.")
    if not offset >= 0:
        raise ValueError(f"Expected `offset` of 0 or more, but got {offset}.")
    inner, outer = (mask_areas(logits > threshold + change) for change in (offset, -offset))  # (...) each
    return torch.where(outer > 0, inner / outer.clamp(min=1), 0.0)
