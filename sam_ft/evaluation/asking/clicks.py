"""The deterministic user of an evaluation, who always clicks the middle of what is most wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from sam_ft.masks.distance import centre_point
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND


def next_click(masks: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The centre of the largest error of each mask; with empty `masks` the first click, the object's centre.

    Missed pixels and wrongly covered pixels are looked at apart: of their two deepest pixels the deeper one is
    clicked, as foreground or background accordingly; of equals, the background click, as in RITM and SAM 2's
    evaluation code. Source: Segment Anything, appendix D.1, "farthest from the boundary of the error region".

    Args:
        masks: `(..., H, W)` bool, what has been predicted.
        targets: `(..., H, W)` bool, the truth.

    Returns:
        points: `(..., 2)` float32, (x, y) indices of pixels.
        labels: `(...)` int64: FOREGROUND, BACKGROUND, or ABSENT where there is no error left to click.

    Raises:
        ValueError: the shapes differ or a tensor is not bool.
    """
    if masks.shape != targets.shape:
        raise ValueError(
            f"Expected `masks` and `targets` of one shape, but got {tuple(masks.shape)} and {tuple(targets.shape)}."
        )
    missed_points, missed_depths = centre_point(targets & ~masks)
    extra_points, extra_depths = centre_point(masks & ~targets)
    missed = missed_depths > extra_depths
    points = torch.where(missed[..., None], missed_points, extra_points)
    labels = torch.where(missed, FOREGROUND, BACKGROUND)
    return points, labels.masked_fill((missed_depths == 0) & (extra_depths == 0), ABSENT)
