"""The loss of masks: of their pixels and of their overlap with the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.losses.dice import dice_loss
from sam_ft.losses.pixels import border_weights, focal_loss
from sam_ft.losses.points import PointSampling, at_points

PixelLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(logits (..., h, w), targets (..., h, w) in 0..1, weights or None) -> (...), such as `focal_loss`."""


@dataclass(frozen=True)
class MaskLoss:
    """A loss of each pixel and the Dice loss of the mask.

    Attributes:
        pixel_loss: loss of the pixels of one mask.
        pixel_weight: its weight.
        dice_weight: weight of the Dice loss.
        squared_dice: whether the Dice loss divides by squared probabilities, as in V-Net and MedSAM.
        border_factor: what pixels near the object's border count beyond the others in the pixel loss.
        points: at which points both are measured; None: everywhere.
    """

    pixel_loss: PixelLoss = focal_loss
    pixel_weight: float = 20.0
    dice_weight: float = 1.0
    squared_dice: bool = False
    border_factor: float = 0.0
    points: PointSampling | None = None

    def __post_init__(self) -> None:
        if self.pixel_weight < 0 or self.dice_weight < 0 or not self.border_factor >= 0:
            raise ValueError(
                "Expected `pixel_weight`, `dice_weight` and `border_factor` of at least 0, but got "
                f"{self.pixel_weight}, {self.dice_weight} and {self.border_factor}."
            )

    def __call__(
        self, logits: Tensor, targets: Tensor, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The unweighted parts.

        Args:
            logits: (B, N, M, h, w).
            targets: (B, N, h, w) in 0..1.
            generator: the source of randomness of the points.

        Returns:
            The pixel loss and the Dice loss, each (B, N, M).

        Raises:
            ValueError: There are points to draw and no generator.
        """
        weights = border_weights(targets, factor=self.border_factor) if self.border_factor else None
        targets = targets[:, :, None].expand_as(logits)
        if weights is not None:
            weights = weights[:, :, None].expand_as(logits)
        if self.points is not None:
            if generator is None:
                raise ValueError("Expected a generator for a loss at drawn points, but got None.")
            chosen = self.points.choose(logits.detach().flatten(0, 2), generator)
            logits, targets = _at(logits, chosen), _at(targets, chosen)  # (B, N, M, 1, P)
            weights = None if weights is None else _at(weights, chosen)
        return self.pixel_loss(logits, targets, weights), dice_loss(logits, targets, squared=self.squared_dice)

    def weighted(self, pixel: Tensor, dice: Tensor) -> Tensor:
        """Their sum."""
        return self.pixel_weight * pixel + self.dice_weight * dice


def _at(maps: Tensor, points: Tensor) -> Tensor:
    """(B, N, M, h, w) at points (B * N * M, P, 2) -> (B, N, M, 1, P)."""
    return at_points(maps.flatten(0, 2), points).unflatten(0, maps.shape[:3])[..., None, :]
