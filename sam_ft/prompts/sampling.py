"""Single prompts drawn from a mask: a point, a noisy box, a low-resolution mask.

Every draw comes from the given generator, on the generator's device, so that a run on a GPU can be seeded like one
on a CPU. Nothing here loops over objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

REFERENCE_SIZE = 1024
"""The image size at which the papers' figures in pixels hold."""


@dataclass(frozen=True)
class BoxNoise:
    """Gaussian noise on each coordinate of a box (SAM, appendix A).

    Attributes:
        deviation: standard deviation as a share of the box's width (for x) or height (for y).
        cap_px: largest displacement, in pixels of an image of 1024 pixels a side.
    """

    deviation: float = 0.1
    cap_px: float = 20.0


def uniform_point(regions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One pixel drawn uniformly from each region.

    First a row is drawn, in proportion to its pixels, then a pixel of that row, so that the cost is one sum over the
    region and not a random number for each pixel.

    Args:
        regions: (..., H, W) bool.
        generator: the source of randomness.

    Returns:
        Points (..., 2) as (x, y) float, and found (...) bool: False, with the point (0, 0), where a region is empty.
    """
    row_counts = regions.sum(dim=-1)  # (..., H)
    rows_up_to = row_counts.cumsum(dim=-1)
    total = rows_up_to[..., -1]  # (...)
    draw = torch.rand(total.shape, generator=generator, device=generator.device, dtype=torch.float64).to(total.device)
    rank = (draw * total).long().clamp(max=total - 1).clamp(min=0)[..., None]  # (..., 1)
    y = torch.searchsorted(rows_up_to, rank, right=True).clamp(max=regions.shape[-2] - 1)
    rank_in_row = rank - (rows_up_to - row_counts).gather(-1, y)
    row = regions.take_along_dim(y[..., None], dim=-2).squeeze(-2)  # (..., W)
    x = torch.searchsorted(row.cumsum(dim=-1), rank_in_row, right=True)
    found = total > 0
    points = torch.cat([x, y], dim=-1).to(torch.float32)  # (..., 2)
    return points * found[..., None], found


def jittered_box(
    boxes_xyxy: Tensor,
    noise: BoxNoise,
    *,
    image_size: int,
    generator: torch.Generator,
    limits_xyxy: Tensor | None = None,
) -> Tensor:
    """Each coordinate displaced by Gaussian noise; the displacement is capped and the box stays in the image.

    A box that the noise turns inside out, or makes empty, falls back to the clean one, as in SAM 3's code.

    Args:
        boxes_xyxy: (..., 4) in pixels of the frame.
        noise: how much.
        image_size: side of the frame; the cap scales with it.
        generator: the source of randomness.
        limits_xyxy: the first and last pixel of the image without its padding, of a shape that expands to that of the
            boxes; None: the whole frame.

    Returns:
        (..., 4).
    """
    if limits_xyxy is None:
        limits_xyxy = boxes_xyxy.new_tensor([0, 0, image_size - 1, image_size - 1])
    first, last = limits_xyxy[..., :2], limits_xyxy[..., 2:]
    sides = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    sides = torch.cat([sides, sides], dim=-1)  # width, height, width, height
    draw = torch.randn(boxes_xyxy.shape, generator=generator, device=generator.device).to(boxes_xyxy.device)
    cap = noise.cap_px * image_size / REFERENCE_SIZE
    moved = boxes_xyxy + (draw * noise.deviation * sides).clamp(-cap, cap)
    moved = moved.clamp(torch.cat([first, first], dim=-1), torch.cat([last, last], dim=-1))
    degenerate = (moved[..., 2:] <= moved[..., :2]).any(dim=-1, keepdim=True)
    return torch.where(degenerate, boxes_xyxy, moved)


def low_resolution(masks: Tensor, size: int) -> Tensor:
    """The share of each low-resolution cell that a mask covers: (B, N, S, S) bool -> (B, N, size, size) in 0..1."""
    return F.interpolate(masks.float(), size=(size, size), mode="area")
