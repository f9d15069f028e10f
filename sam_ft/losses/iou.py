"""The loss of the IoU head."""

from __future__ import annotations

import torch
from torch import Tensor

from sam_ft.metrics.overlap import iou


def iou_regression_loss(iou_predictions: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Squared difference between the predicted IoU and the IoU of the thresholded mask (SAM, appendix A).

    No gradient reaches the logits.

    Args:
        iou_predictions: (...).
        logits: (..., h, w).
        targets: (..., h, w) in 0..1; half a pixel or more counts as the object's.

    Returns:
        (...).
    """
    with torch.no_grad():
        actual = iou(logits > 0, targets >= 0.5)
    return (iou_predictions - actual) ** 2
