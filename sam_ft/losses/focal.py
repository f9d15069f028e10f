"""Focal loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def focal_loss(logits: Tensor, targets: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Cross-entropy in which pixels that are already right weigh little (Lin et al. 2017, equation 5).

    Args:
        logits: (..., h, w).
        targets: (..., h, w) in 0..1, the share of the pixel that belongs to the object.
        alpha: weight of the foreground; the background has 1 - alpha.
        gamma: how fast the weight of a right pixel falls.

    Returns:
        (...), the mean over the pixels.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probabilities = logits.sigmoid()
    wrongness = probabilities + targets - 2 * probabilities * targets  # 1 - p_t
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return (weight * wrongness**gamma * cross_entropy).mean(dim=(-2, -1))
