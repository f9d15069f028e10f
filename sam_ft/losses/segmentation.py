"""The loss of one round: which mask is taught, and how its parts are weighed and averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.losses.cross_entropy import cross_entropy_loss
from sam_ft.losses.dice import dice_loss
from sam_ft.losses.focal import focal_loss
from sam_ft.losses.iou import iou_regression_loss
from sam_ft.types import MaskPrediction

PixelLoss = Callable[[Tensor, Tensor], Tensor]
"""(logits (..., h, w), targets (..., h, w) in 0..1) -> (...), such as `focal_loss` or `cross_entropy_loss`."""


@dataclass(frozen=True)
class LossParts:
    """Unweighted parts and their weighted sum, each (B, N), or () after `mean_over_images`."""

    pixel: Tensor
    dice: Tensor
    iou: Tensor
    total: Tensor

    def mean_over_images(self, valid: Tensor) -> LossParts:
        """See `mean_over_images`."""
        return LossParts(**{name: mean_over_images(part, valid) for name, part in vars(self).items()})


@dataclass(frozen=True)
class SegmentationLoss:
    """A loss of each pixel, the Dice loss of the mask and the regression of its IoU.

    Of an ambiguous prompt's masks only the one with the lowest pixel and Dice loss is taught, so that the three may
    differ; the IoU head learns from all that answer the prompt. From random weights that rule starves two of the
    three: the first to be of any use is the best for every object from then on. `relaxation` shares a part of the
    loss among all three (after Rupprecht et al. 2017, "Learning in an uncertain world"), so that each finds its kind.

    Attributes:
        pixel_loss: loss of the pixels of one mask.
        pixel_weight: its weight.
        dice_weight: weight of the Dice loss.
        iou_weight: weight of the IoU regression.
        relaxation: share of the mask loss that is the mean over an ambiguous prompt's masks instead of the lowest; 0
            is the paper's rule.
    """

    pixel_loss: PixelLoss = focal_loss
    pixel_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    relaxation: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.relaxation <= 1:
            raise ValueError(f"Expected `relaxation` between 0 and 1, but got {self.relaxation}.")

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
        targets = targets[:, :, None].expand_as(logits)  # (B, N, M, h, w)
        pixel, dice = self.pixel_loss(logits, targets), dice_loss(logits, targets)  # (B, N, M)
        mask_loss = self.pixel_weight * pixel + self.dice_weight * dice
        evenly = candidates / candidates.sum(dim=-1, keepdim=True)  # (B, N, M), 1 in sum over M
        share = self._share(mask_loss.detach(), candidates, evenly)
        pixel, dice, mask_loss = ((share * part).sum(dim=-1) for part in (pixel, dice, mask_loss))
        iou = iou_regression_loss(prediction.iou_predictions.float(), logits.detach(), targets)  # (B, N, M)
        iou = (evenly * iou).sum(dim=-1)  # not of all M: which others were computed depends on the neighbours
        return LossParts(pixel=pixel, dice=dice, iou=iou, total=mask_loss + self.iou_weight * iou)

    def _share(self, mask_loss: Tensor, candidates: Tensor, evenly: Tensor) -> Tensor:
        """How much each mask is taught: (B, N, M), 1 in sum over M."""
        lowest = mask_loss.masked_fill(~candidates, float("inf")).argmin(dim=-1, keepdim=True)
        taught = torch.zeros_like(mask_loss).scatter(-1, lowest, 1.0)
        return (1 - self.relaxation) * taught + self.relaxation * evenly


def sam_loss() -> SegmentationLoss:
    """focal : dice : IoU = 20 : 1 : 1 (SAM, appendix A)."""
    return SegmentationLoss()


def from_scratch_loss(iou_weight: float = 1.0) -> SegmentationLoss:
    """cross-entropy : dice : IoU = 2 : 1 : 1, a tenth of it for all three masks: learns fast from random weights.

    The focal loss mutes pixels that are nearly right, which helps a trained model and holds up an untrained one.
    """
    return SegmentationLoss(pixel_loss=cross_entropy_loss, pixel_weight=2.0, iou_weight=iou_weight, relaxation=0.1)


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
