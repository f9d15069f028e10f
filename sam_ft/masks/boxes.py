"""From a mask to the box around it."""

from __future__ import annotations

import torch
from torch import Tensor


def boxes_of_masks(masks: Tensor) -> Tensor:
    """The tightest box around each mask, `(x0, y0, x1, y1)`.

    `x1` and `y1` are the indices of the last column and row that the mask touches, as in segment_anything's
    `batched_mask_to_box` (utils/amg.py): a single pixel gives `x0 == x1`.

    Args:
        masks: `(..., H, W)` bool, with any number of leading dimensions.

    Returns:
        `(..., 4)` float32, in pixels; zeros for an empty mask.

    Raises:
        ValueError: `masks` is not bool or has fewer than two dimensions.
    """
    expect_masks(masks)
    y0, y1 = _first_and_last(masks.any(dim=-1))
    x0, x1 = _first_and_last(masks.any(dim=-2))
    return torch.stack([x0, y0, x1, y1], dim=-1).float()  # (..., 4)


def expect_masks(masks: Tensor) -> None:
    """Refuse what is not `(..., H, W)` bool.

    Raises:
        ValueError: `masks` is not bool or has fewer than two dimensions.
    """
    if masks.dtype != torch.bool or masks.ndim < 2:
        raise ValueError(f"Expected `masks` (..., H, W) of bool, but got {tuple(masks.shape)} of {masks.dtype}.")


def _first_and_last(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last true index of each row `(..., L)`; 0 and 0 where there is none."""
    length = occupied.shape[-1]
    if length == 0:
        zeros = occupied.new_zeros(occupied.shape[:-1], dtype=torch.int64)
        return zeros, zeros
    index = torch.arange(length, device=occupied.device)
    first = torch.where(occupied, index, length).amin(dim=-1)
    last = torch.where(occupied, index, 0).amax(dim=-1)
    return torch.where(occupied.any(dim=-1), first, 0), last
