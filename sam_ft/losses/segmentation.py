"""The loss of one round: which mask is taught, and how its parts are weighed and averaged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.losses.dice import dice_loss
from sam_ft.losses.focal import focal_loss
from sam_ft.losses.iou import iou_regression_loss
from sam_ft.types import MaskPrediction


@dataclass(frozen=True)
class LossParts:
    """Unweighted parts and their weighted sum, each (B, N), or () after `mean_over_images`."""

    focal: Tensor
    dice: Tensor
    iou: Tensor
    total: Tensor

    def mean_over_images(self, valid: Tensor) -> LossParts:
        """See `mean_over_images`."""
        return LossParts(**{name: mean_over_images(part, valid) for name, part in vars(self).items()})


@dataclass(frozen=True)
class SegmentationLoss:
    """focal : dice : IoU = 20 : 1 : 1 (SAM, appendix A).

    Of an ambiguous prompt's masks only the one with the lowest focal and dice loss is taught, so that the three may
    differ; the IoU head learns from all of them.
    """

    focal_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0

    def __call__(self, prediction: MaskPrediction, targets: Tensor, candidates: Tensor) -> LossParts:
        """Compare a prediction with the truth.

        Args:
            prediction: M masks for each object.
            targets: (B, N, h, w) in 0..1, at the resolution of the logits.
            candidates: (B, N, M) bool, the masks that answer the prompt; at least one for each object.

        Returns:
            Each part as (B, N).
        """
        logits = prediction.low_res_logits.float()
        targets = targets[:, :, None].expand_as(logits)
        focal, dice = focal_loss(logits, targets), dice_loss(logits, targets)  # (B, N, M)
        mask_loss = self.focal_weight * focal + self.dice_weight * dice
        taught = mask_loss.detach().masked_fill(~candidates, float("inf")).argmin(dim=-1, keepdim=True)
        focal, dice, mask_loss = (part.take_along_dim(taught, dim=-1).squeeze(-1) for part in (focal, dice, mask_loss))
        iou = iou_regression_loss(prediction.iou_predictions.float(), logits.detach(), targets).mean(dim=-1)
        return LossParts(focal=focal, dice=dice, iou=iou, total=mask_loss + self.iou_weight * iou)


def mean_over_images(loss: Tensor, valid: Tensor) -> Tensor:
    """Mean over each image's valid objects, then over the images; an image without objects counts zero.

    Args:
        loss: (B, N).
        valid: (B, N) bool.

    Returns:
        A scalar.
    """
    kept = torch.where(valid, loss, 0.0)  # where, not times: a padded object's loss may be anything
    return (kept.sum(dim=1) / valid.sum(dim=1).clamp(min=1)).mean()
