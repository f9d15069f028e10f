"""Dice loss."""

from __future__ import annotations

from torch import Tensor


def dice_loss(logits: Tensor, targets: Tensor, *, smooth: float = 1.0, squared: bool = False) -> Tensor:
    """One minus the soft Dice coefficient of each mask (Milletari et al. 2016, with the smoothing of SAM 2's code).

    Args:
        logits: (..., h, w).
        targets: (..., h, w) in 0..1.
        smooth: added above and below; with an empty target and an empty prediction the loss is 0.
        squared: whether probabilities and targets are squared below, as in the V-Net paper.

    Returns:
        (...), between 0 and 1.
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum(dim=(-2, -1))
    if squared:
        probabilities, targets = probabilities.square(), targets.square()
    total = probabilities.sum(dim=(-2, -1)) + targets.sum(dim=(-2, -1))
    return 1 - (2 * overlap + smooth) / (total + smooth)
