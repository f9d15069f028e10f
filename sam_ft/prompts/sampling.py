"""Single prompts drawn from a mask: a point, a low-resolution mask, a spoilt one. Boxes are in `box_noise`.

Every draw comes from the given generator, on the generator's device, so that a run on a GPU can be seeded like one
on a CPU. Nothing here loops over objects. Objects that are not valid cost no draw, so that padding a batch changes no
prompt of the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SMEARING = 5
"""Cells of a low-resolution mask over which its border is smeared, twice."""
_WAVES = 8
"""Bumps of a spoilt border along a side of the image."""
_AMPLITUDE = 0.6
"""Most that the deviation of the noise may be, where the smeared mask goes from 0 to 1."""
_STEEPNESS = 12.0
"""Logit of a pixel deep inside, twice."""


def draw_for(
    valid: Tensor, *shape: int, generator: torch.Generator, normal: bool = False, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Random numbers for the valid objects, zeros for the others.

    Args:
        valid: (...) bool.
        *shape: of the numbers of one object.
        generator: the source of randomness.
        normal: whether they are normally distributed, else uniformly from 0 to 1.
        dtype: of the numbers.

    Returns:
        (..., *shape).
    """
    draw = torch.randn if normal else torch.rand
    numbers = valid.new_zeros((*valid.shape, *shape), dtype=dtype)
    drawn = draw(int(valid.sum()), *shape, generator=generator, device=generator.device, dtype=dtype)
    numbers[valid] = drawn.to(valid.device)
    return numbers


def uniform_point(regions: Tensor, generator: torch.Generator, *, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One pixel drawn uniformly from each region.

    First a row is drawn, in proportion to its pixels, then a pixel of that row, so that the cost is one sum over the
    region and not a random number for each pixel.

    Args:
        regions: (..., H, W) bool.
        generator: the source of randomness.
        valid: (...) bool, the regions to draw from; None: all.

    Returns:
        Points (..., 2) as (x, y) float, and found (...) bool: False, with the point (0, 0), where a region
        is empty or not to be drawn from.
    """
    row_counts = regions.sum(dim=-1)  # (..., H)
    rows_up_to = row_counts.cumsum(dim=-1)
    total = rows_up_to[..., -1]  # (...)
    valid = torch.ones_like(total, dtype=torch.bool) if valid is None else valid
    draw = draw_for(valid, generator=generator, dtype=torch.float64)
    rank = (draw * total).long().clamp(max=total - 1).clamp(min=0)[..., None]  # (..., 1)
    y = torch.searchsorted(rows_up_to, rank, right=True).clamp(max=regions.shape[-2] - 1)
    rank_in_row = rank - (rows_up_to - row_counts).gather(-1, y)
    row = regions.take_along_dim(y[..., None], dim=-2).squeeze(-2)  # (..., W)
    x = torch.searchsorted(row.cumsum(dim=-1), rank_in_row, right=True)
    found = (total > 0) & valid
    points = torch.cat([x, y], dim=-1).to(torch.float32)  # (..., 2)
    return points * found[..., None], found


def low_resolution(masks: Tensor, size: int) -> Tensor:
    """The share of each low-resolution cell that a mask covers: (B, N, S, S) bool -> (B, N, size, size) in 0..1."""
    return F.interpolate(masks.float(), size=(size, size), mode="area")


def spoilt_mask(masks: Tensor, size: int, *, valid: Tensor, generator: torch.Generator) -> Tensor:
    """Low-resolution logits of masks as a poor model or a hasty hand would give them.

    The border is smeared and then moved in and out by smooth noise, as much as a draw for each object says; a mask
    that this leaves with an IoU below one half is used as it is.

    Args:
        masks: (B, N, S, S) bool.
        size: side of the result.
        valid: (B, N) bool; the others are left as they are.
        generator: the source of randomness.

    Returns:
        (B, N, size, size) logits: positive inside, steep but not sure at the border.
    """
    truth = low_resolution(masks, size)  # (B, N, size, size) in 0..1
    smeared = truth
    for _ in range(2):
        smeared = F.avg_pool2d(smeared, kernel_size=_SMEARING, stride=1, padding=_SMEARING // 2)
    waves = draw_for(valid, _WAVES, _WAVES, generator=generator, normal=True)
    amplitude = draw_for(valid, generator=generator)
    waves = F.interpolate(waves, size=(size, size), mode="bicubic", align_corners=False)
    near_border = 4 * smeared * (1 - smeared)  # 1 at the border, 0 away from it
    spoilt = smeared + _AMPLITUDE * amplitude[..., None, None] * near_border * waves
    is_object, is_spoilt = truth >= 0.5, spoilt > 0.5
    common = (is_object & is_spoilt).sum(dim=(-2, -1))
    either = (is_object | is_spoilt).sum(dim=(-2, -1))
    keeps_its_shape = (2 * common >= either) & (common > 0) & valid
    return _STEEPNESS * (torch.where(keeps_its_shape[..., None, None], spoilt, truth) - 0.5)


def happens(probability: float, generator: torch.Generator) -> bool:
    """Whether something of this probability happens; what is certain costs no draw."""
    return probability >= 1 or float(torch.rand((), generator=generator, device=generator.device)) < probability


def whole_number(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number drawn evenly, `high` excluded."""
    return int(torch.randint(low, high, (), generator=generator, device=generator.device))
