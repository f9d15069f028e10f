"""The loss of the IoU head."""

from __future__ import annotations

import torch
from torch import Tensor

from sam_ft.metrics.overlap import iou


def iou_regression_loss(iou_predictions: Tensor, logits: Tensor, targets: Tensor, *, power: int = 2) -> Tensor:
    """Difference between the predicted IoU and the IoU of the thresholded mask, squared (SAM) or absolute (SAM 2).

    No gradient reaches the logits.

    Args:
        iou_predictions: (...).
        logits: (..., h, w).
        targets: (..., h, w) in 0..1; half a pixel or more counts as the object's.
        power: 2 or 1.

    Returns:
        (...).
    """
    with torch.no_grad():
        actual = iou(logits > 0, targets >= 0.5)
    return (iou_predictions - actual).abs() ** power
