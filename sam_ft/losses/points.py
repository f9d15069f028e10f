"""Points of a mask at which its loss is measured: most of them where the model is unsure.

Source: Kirillov et al. 2020 (PointRend), section 3.1; the numbers are HQ-SAM's (train/utils/loss_mask.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.checks import expect_whole_number


@dataclass(frozen=True)
class PointSampling:
    """How many points, and how they are chosen.

    Attributes:
        num_points: for each mask.
        oversampling: how many times as many are drawn, of which the least sure ones are kept.
        importance: share of the points that is chosen so; the others are drawn uniformly.
    """

    num_points: int = 112 * 112
    oversampling: float = 3.0
    importance: float = 0.75

    def __post_init__(self) -> None:
        expect_whole_number("num_points", self.num_points, least=1)
        if not self.oversampling >= 1 or not 0 <= self.importance <= 1:
            raise ValueError(
                "Expected `oversampling` of at least 1 and `importance` between 0 and 1, but got "
                f"{self.oversampling} and {self.importance}."
            )

    def choose(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """The points of each mask.

        All masks choose from the same draw, so that padding a batch changes nothing for the others.

        Args:
            logits: (K, h, w).
            generator: the source of randomness.

        Returns:
            (K, num_points, 2), as (x, y) from 0 to 1.
        """
        num_unsure = int(self.importance * self.num_points)
        drawn = self._draw(int(self.oversampling * self.num_points), logits, generator)
        others = self._draw(self.num_points - num_unsure, logits, generator)
        with torch.no_grad():
            sureness = at_points(logits, drawn).abs()  # (K, drawn)
            unsure = sureness.topk(num_unsure, dim=1, largest=False).indices
        return torch.cat([drawn.take_along_dim(unsure[..., None], dim=1), others], dim=1)

    @staticmethod
    def _draw(count: int, logits: Tensor, generator: torch.Generator) -> Tensor:
        points = torch.rand(count, 2, generator=generator, device=generator.device).to(logits.device)
        return points.expand(len(logits), -1, -1)  # (K, count, 2)


def at_points(maps: Tensor, points: Tensor) -> Tensor:
    """The values of maps (K, h, w) at points (K, P, 2) from 0 to 1, bilinear: (K, P)."""
    grid = (2 * points - 1)[:, None]  # (K, 1, P, 2)
    sampled = F.grid_sample(maps[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[:, 0, 0]
