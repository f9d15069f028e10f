"""The loss of semantic segmentation: cross-entropy of each pixel's class, and the Dice loss of each class's map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SemanticLossParts:
    """Unweighted parts and their weighted sum, each ()."""

    cross_entropy: Tensor
    dice: Tensor
    total: Tensor


@dataclass(frozen=True)
class SemanticLoss:
    """Cross-entropy over the pixels of an image and Dice over the classes that occur in it, then means over the images.

    Attributes:
        cross_entropy_weight: weight of the cross-entropy.
        dice_weight: weight of the Dice loss.

    Raises:
        ValueError: a weight is negative, or both are 0.

    Source: Milletari et al. 2016 (V-Net) for Dice, here for several classes as in nnU-Net (Isensee et al. 2021).
    """

    cross_entropy_weight: float = 1.0
    dice_weight: float = 1.0

    def __post_init__(self) -> None:
        weights = (self.cross_entropy_weight, self.dice_weight)
        if not min(weights) >= 0 or not sum(weights) > 0:
            raise ValueError(
                "Expected `cross_entropy_weight` and `dice_weight` of at least 0 and one above, but got "
                f"{weights[0]} and {weights[1]}."
            )

    def __call__(self, logits: Tensor, shares: Tensor, *, num_images: int | None = None) -> SemanticLossParts:
        """Compare the classes of the pixels with the truth; an image without a known pixel counts zero.

        Args:
            logits: (B, K, h, w).
            shares: (B, K, h, w), what `class_shares` gives.
            num_images: how many of the B images are no padding, of which no pixel is known; None: all.
        """
        log_probabilities = logits.float().log_softmax(dim=1)
        known = shares.sum(dim=1, keepdim=True)  # (B, 1, h, w)
        surprise = -(shares * log_probabilities).sum(dim=(1, 2, 3))  # (B,)
        cross_entropy = surprise / _at_least_one_pixel(known.sum(dim=(1, 2, 3)))
        dice = _dice(log_probabilities.exp(), shares, known)
        count = len(logits) if num_images is None else num_images
        parts = (cross_entropy.sum() / count, dice.sum() / count)
        total = self.cross_entropy_weight * parts[0] + self.dice_weight * parts[1]
        return SemanticLossParts(cross_entropy=parts[0], dice=parts[1], total=total)


def class_shares(labels: Tensor, *, num_classes: int, size: int) -> Tensor:
    """How much of each low-resolution cell is of each class.

    Args:
        labels: (B, S, S) int64 of 0 to K - 1; below 0 where the class is not known.
        num_classes: K.
        size: of the result, a divisor of S.

    Returns:
        (B, K, size, size) in 0..1; their sum over the classes is the share of the cell that is known.
    """
    factor = labels.shape[-1] // size
    shares = torch.zeros(len(labels), num_classes, size, size, device=labels.device)
    for y in range(factor):
        for x in range(factor):
            part = labels[:, None, y::factor, x::factor]  # (B, 1, size, size)
            shares.scatter_add_(1, part.clamp(min=0), (part >= 0) / factor**2)
    return shares


def _dice(probabilities: Tensor, shares: Tensor, known: Tensor, *, smooth: float = 1.0) -> Tensor:
    """One minus the soft Dice coefficient, as a mean over the classes that occur in an image: (B, K, h, w) -> (B,)."""
    overlap = (probabilities * shares).sum(dim=(2, 3))  # (B, K)
    total = (probabilities * known + shares).sum(dim=(2, 3))
    each = 1 - (2 * overlap + smooth) / (total + smooth)
    occurs = shares.flatten(2).any(dim=2)
    return (each * occurs).sum(dim=1) / occurs.sum(dim=1).clamp(min=1)


def _at_least_one_pixel(count: Tensor) -> Tensor:
    """The counts, but 1 in the place of 0."""
    return torch.where(count > 0, count, 1.0)
