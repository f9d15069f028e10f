"""Binary cross-entropy of a mask's pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def cross_entropy_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """How surprised the model is by each pixel.

    Args:
        logits: (..., h, w).
        targets: (..., h, w) in 0..1.

    Returns:
        (...), the mean over the pixels.
    """
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(-2, -1))
