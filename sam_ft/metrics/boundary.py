"""How well the outlines of two masks agree: boundary IoU, which does not get easier the larger an object is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sam_ft.masks.boxes import expect_masks
from sam_ft.metrics.overlap import iou

_MASKS_AT_ONCE = 16
"""So many masks are counted up as whole numbers of 4 bytes a pixel."""


def boundary_iou(masks: Tensor, targets: Tensor, *, dilation_ratio: float = 0.02) -> Tensor:
    """The IoU of the boundaries of each pair of masks.

    Args:
        masks: `(..., H, W)` bool.
        targets: `(..., H, W)` bool of the same height and width; the leading dimensions broadcast.
        dilation_ratio: see `mask_boundaries`.

    Returns:
        `(...)` float32 in [0, 1]; 1 where both masks are empty, 0 where one of them is.

    Raises:
        ValueError: either is not bool, the sizes differ, or `dilation_ratio` is negative.

    Source: Cheng et al. 2021, "Boundary IoU", equation 1 and `boundary_iou_api`.
    """
    first, second = (mask_boundaries(each, dilation_ratio=dilation_ratio) for each in (masks, targets))
    return iou(first, second)


def mask_boundaries(masks: Tensor, *, dilation_ratio: float = 0.02) -> Tensor:
    """The pixels of each mask near its outline: those that erosion by a square takes away.

    What lies outside of the image is not the object, so that an object has a boundary along the image's border.

    Args:
        masks: `(..., H, W)` bool.
        dilation_ratio: how wide the boundary is, as a share of the image's diagonal; at least 1 pixel.

    Returns:
        `(..., H, W)` bool.

    Raises:
        ValueError: `masks` is not bool or has fewer than two dimensions, or `dilation_ratio` is negative.
    """
    expect_masks(masks)
    if not dilation_ratio >= 0:
        raise ValueError(f"Expected `dilation_ratio` of 0 or more, but got {dilation_ratio}.")
    height, width = masks.shape[-2:]
    distance = max(round(dilation_ratio * math.sqrt(height**2 + width**2)), 1)
    flat = masks.reshape(math.prod(masks.shape[:-2]), height, width)
    parts = [few & ~_eroded(_eroded(few, distance, dim=2), distance, dim=1) for few in flat.split(_MASKS_AT_ONCE)]
    return torch.cat(parts).view(masks.shape)


def _eroded(masks: Tensor, distance: int, *, dim: int) -> Tensor:
    """Along one dimension: True where the pixel and `distance` pixels before and behind it are in the mask."""
    inner, length = masks.shape[dim] - 2 * distance, 2 * distance + 1
    eroded = torch.zeros_like(masks)
    if inner < 1:
        return eroded
    counts = masks.cumsum(dim, dtype=torch.int32)
    inside = counts.narrow(dim, 2 * distance, inner).clone()  # how many of the first pixels up to the window's end
    inside.narrow(dim, 1, inner - 1).sub_(counts.narrow(dim, 0, inner - 1))
    eroded.narrow(dim, distance, inner).copy_(inside == length)
    return eroded
