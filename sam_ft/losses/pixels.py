"""Losses of a mask's pixels, and the weights by which pixels near the object's border count more."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

_LEAST_AREA = 1e-3
"""Of an object, in pixels, below which its part of a balanced loss fades."""


def cross_entropy_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """How surprised the model is by each pixel.

    Args:
        logits: (..., h, w).
        targets: (..., h, w) in 0..1.
        weights: (..., h, w), how much each pixel counts; None: all the same.

    Returns:
        (...), the mean over the pixels.
    """
    return _mean(F.binary_cross_entropy_with_logits(logits, targets, reduction="none"), weights)


def balanced_cross_entropy_loss(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy in which the object counts as much as all that is not the object, however small it is.

    Args:
        logits: (..., h, w).
        targets: (..., h, w) in 0..1, the share of the pixel that belongs to the object.
        weights: (..., h, w), how much each pixel counts beside that; None: all the same.

    Returns:
        (...), half the mean over the object plus half the mean over the rest. Where there is no object, or no rest,
        that half is 0.

    Source: Xie and Tu 2015 (holistically-nested edge detection), equation 2; there as a sum over pixels.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    shares = (targets, 1 - targets)
    if weights is not None:
        shares = (shares[0] * weights, shares[1] * weights)
    halves = [
        (share * cross_entropy).sum(dim=(-2, -1)) / share.sum(dim=(-2, -1)).clamp(min=_LEAST_AREA) for share in shares
    ]
    return (halves[0] + halves[1]) / 2


def focal_loss(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Cross-entropy in which pixels that are already right weigh little (Lin et al. 2017, equation 5).

    Args:
        logits: (..., h, w).
        targets: (..., h, w) in 0..1, the share of the pixel that belongs to the object.
        weights: (..., h, w), how much each pixel counts; None: all the same.
        alpha: weight of the foreground; the background has 1 - alpha.
        gamma: how fast the weight of a right pixel falls.

    Returns:
        (...), the mean over the pixels.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probabilities = logits.sigmoid()
    wrongness = probabilities + targets - 2 * probabilities * targets  # 1 - p_t
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return _mean(balance * wrongness**gamma * cross_entropy, weights)


def border_weights(targets: Tensor, *, factor: float, width: int = 2) -> Tensor:
    """More for pixels near the object's border, where masks go wrong: 1 elsewhere.

    Args:
        targets: (B, N, h, w) in 0..1.
        factor: what a pixel near the border counts beyond 1.
        width: how far it reaches to either side, in pixels.

    Returns:
        (B, N, h, w): 1, or 1 + factor.
    """
    kernel = 2 * width + 1
    largest = F.max_pool2d(targets, kernel, stride=1, padding=width)
    smallest = -F.max_pool2d(-targets, kernel, stride=1, padding=width)
    return 1 + factor * ((largest >= 0.5) & (smallest < 0.5))


def _mean(loss: Tensor, weights: Tensor | None) -> Tensor:
    """Over the last two dimensions."""
    if weights is None:
        return loss.mean(dim=(-2, -1))
    return (loss * weights).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1))
