"""The loss of one round: which mask is taught, and how its parts are weighed and averaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.checks import expect_number
from sam_ft.losses.iou import iou_regression_loss
from sam_ft.losses.mask import MaskLoss
from sam_ft.types import MaskPrediction


@dataclass(frozen=True)
class LossParts:
    """Unweighted parts and their weighted sum, each (B, N), or () after `mean_over_images`."""

    pixel: Tensor
    dice: Tensor
    iou: Tensor
    presence: Tensor
    classes: Tensor
    total: Tensor

    def mean_over_images(self, valid: Tensor, *, num_images: int | None = None) -> LossParts:
        """See `mean_over_images`."""
        return LossParts(
            **{name: mean_over_images(part, valid, num_images=num_images) for name, part in vars(self).items()}
        )


@dataclass(frozen=True)
class SegmentationLoss:
    """The loss of a mask, the regression of its IoU, and whether the object is there at all.

    Of an ambiguous prompt's masks only one is taught, so that the three may differ; the IoU head learns from all that
    answer the prompt. From random weights that rule starves two of the three: the first to be of any use is the best
    for every object from then on. `relaxation` shares a part of the loss among all three (after Rupprecht et al. 2017,
    "Learning in an uncertain world"), so that each finds its kind.

    A model that says whether the object is there (SAM 2) is taught that too; masks and IoU of objects that are not
    there cost nothing then. A model that says which class a mask is of is taught that for the mask that is taught.

    Attributes:
        mask: loss of a mask.
        iou_weight: weight of the IoU regression.
        iou_power: 2 for the squared difference (SAM), 1 for the absolute one (SAM 2).
        presence_weight: weight of the cross-entropy of the object's presence.
        class_weight: weight of the cross-entropy of the object's class.
        taught: which of an ambiguous prompt's masks is taught: that of the lowest loss, or the most confident one.
        relaxation: share of the mask loss that is the mean over an ambiguous prompt's masks; 0 is the papers' rule.
    """

    mask: MaskLoss = field(default_factory=MaskLoss)
    iou_weight: float = 1.0
    iou_power: int = 2
    presence_weight: float = 1.0
    taught: Literal["lowest_loss", "most_confident"] = "lowest_loss"
    relaxation: float = 0.0
    class_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("iou_weight", "presence_weight", "class_weight"):
            expect_number(name, getattr(self, name), least=0)
        if not 0 <= self.relaxation <= 1:
            raise ValueError(f"Expected `relaxation` between 0 and 1, but got {self.relaxation}.")
        if self.iou_power not in (1, 2):
            raise ValueError(f"Expected `iou_power` to be 1 or 2, but got {self.iou_power}.")
        if self.taught not in ("lowest_loss", "most_confident"):
            raise ValueError(f"Expected `taught` to be lowest_loss or most_confident, but got {self.taught!r}.")

    def __call__(
        self,
        prediction: MaskPrediction,
        targets: Tensor,
        candidates: Tensor,
        *,
        classes: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> LossParts:
        """Compare a prediction with the truth.

        Args:
            prediction: M masks for each object.
            targets: (B, N, h, w) in 0..1, at the resolution of the logits.
            candidates: (B, N, M) bool, the masks that answer the prompt; at least one for each object.
            classes: (B, N) int64, the class of each object; None: classes are not taught.
            generator: the source of randomness, where the loss is measured at drawn points.

        Returns:
            Each part as (B, N).
        """
        logits, confidence = prediction.low_res_logits.float(), prediction.iou_predictions.float()
        pixel, dice = self.mask(logits, targets, generator=generator)  # (B, N, M)
        mask_loss = self.mask.weighted(pixel, dice)
        evenly = candidates / candidates.sum(dim=-1, keepdim=True)  # (B, N, M), 1 in sum over M
        order = mask_loss.detach() if self.taught == "lowest_loss" else -confidence.detach()
        share = self._share(order, candidates, evenly)
        pixel, dice, mask_loss = ((share * part).sum(dim=-1) for part in (pixel, dice, mask_loss))
        expanded = targets[:, :, None].expand_as(logits)
        iou = iou_regression_loss(confidence, logits.detach(), expanded, power=self.iou_power)  # (B, N, M)
        iou = (evenly * iou).sum(dim=-1)  # not of all M: which others were computed depends on the neighbours
        presence = torch.zeros_like(iou)
        class_loss = self._class_loss(prediction, classes, share)
        if prediction.object_logits is not None:
            is_there = targets.flatten(2).any(dim=-1).float()  # (B, N)
            presence = F.binary_cross_entropy_with_logits(prediction.object_logits.float(), is_there, reduction="none")
            parts = (pixel, dice, mask_loss, iou, class_loss)
            pixel, dice, mask_loss, iou, class_loss = (is_there * part for part in parts)
        total = mask_loss + self.iou_weight * iou + self.presence_weight * presence + self.class_weight * class_loss
        return LossParts(pixel=pixel, dice=dice, iou=iou, presence=presence, classes=class_loss, total=total)

    @staticmethod
    def _class_loss(prediction: MaskPrediction, classes: Tensor | None, share: Tensor) -> Tensor:
        """Cross-entropy of the class of the masks that are taught, as much as each is: (B, N)."""
        if prediction.class_logits is None or classes is None:
            return torch.zeros_like(share[..., 0])
        logits = prediction.class_logits.float()  # (B, N, M, K)
        expected = classes[..., None].expand(logits.shape[:-1])  # (B, N, M)
        each = F.cross_entropy(logits.flatten(0, 2), expected.flatten(), reduction="none").view_as(share)  # (B, N, M)
        return (share * each).sum(dim=-1)

    def _share(self, order: Tensor, candidates: Tensor, evenly: Tensor) -> Tensor:
        """How much each mask is taught, the first of an order most: (B, N, M), 1 in sum over M."""
        first = order.masked_fill(~candidates, float("inf")).argmin(dim=-1, keepdim=True)
        taught = torch.zeros_like(order).scatter(-1, first, 1.0)
        return (1 - self.relaxation) * taught + self.relaxation * evenly


def mean_over_images(loss: Tensor, valid: Tensor, *, num_images: int | None = None) -> Tensor:
    """Mean over each image's valid objects, then over the images; an image without objects counts zero.

    Args:
        loss: (B, N).
        valid: (B, N) bool.
        num_images: how many of the B images are no padding; None: all.

    Returns:
        A scalar.
    """
    kept = torch.where(valid, loss, 0.0)  # where, not times: a padded object's loss may be anything
    of_images = kept.sum(dim=1) / valid.sum(dim=1).clamp(min=1)  # (B,)
    return of_images.sum() / (len(valid) if num_images is None else num_images)
