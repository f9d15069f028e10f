"""The numbers of each recipe, from its source; what they do is tested with the losses."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceLoss

from sam_ft.losses import recipes
from sam_ft.losses.mask import MaskLoss
from sam_ft.losses.pixels import balanced_cross_entropy_loss, cross_entropy_loss, focal_loss
from sam_ft.losses.points import PointSampling
from sam_ft.losses.segmentation import SegmentationLoss
from sam_ft.types import MaskPrediction


def numbers(loss: SegmentationLoss) -> tuple[float, float, float]:
    return loss.mask.pixel_weight, loss.mask.dice_weight, loss.iou_weight


def test_sam_is_20_to_1_to_1():
    loss = recipes.sam_loss()
    assert loss == SegmentationLoss(mask=MaskLoss(focal_loss, 20.0, 1.0), iou_weight=1.0, iou_power=2)
    assert loss.relaxation == 0 and loss.taught == "lowest_loss"


def test_sam2_has_the_absolute_iou_difference_and_presence():
    loss = recipes.sam2_loss()
    assert (*numbers(loss), loss.presence_weight, loss.iou_power) == (20, 1, 1, 1, 1)


def test_medsam_is_cross_entropy_and_dice_of_squares():
    loss = recipes.medsam_loss(iou_weight=0.0)
    assert loss.mask.pixel_loss is cross_entropy_loss and numbers(loss) == (1, 1, 0) and loss.mask.squared_dice


@pytest.mark.reference
def test_medsams_mask_loss_is_monais():
    logits, targets = torch.randn(2, 3, 1, 9, 9), (torch.rand(2, 3, 9, 9) < 0.4).float()
    prediction = MaskPrediction(logits, torch.rand(2, 3, 1))
    parts = recipes.medsam_loss()(prediction, targets, torch.ones(2, 3, 1, dtype=torch.bool))
    dice = DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=1.0, smooth_dr=1.0, reduction="none")
    torch.testing.assert_close(parts.dice, dice(logits[:, :, 0], targets)[..., 0, 0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, :, 0], targets, reduction="none")
    torch.testing.assert_close(parts.pixel, expected.mean(dim=(-2, -1)))


def test_micro_sam_is_dice_and_iou_alone():
    assert numbers(recipes.micro_sam_loss()) == (0, 1, 1)


def test_sam_med2d_is_sams_for_the_most_confident_mask():
    assert numbers(recipes.sam_med2d_loss()) == (20, 1, 1) and recipes.sam_med2d_loss().taught == "most_confident"


def test_hq_is_measured_at_points():
    loss = recipes.hq_loss()
    assert loss.mask.points == PointSampling(num_points=12544, oversampling=3.0, importance=0.75)
    assert loss.mask.pixel_loss is cross_entropy_loss and numbers(loss) == (1, 1, 1)


def test_from_scratch_shares_a_tenth():
    loss = recipes.from_scratch_loss(border_factor=2.0)
    assert numbers(loss) == (2, 1, 1) and loss.relaxation == 0.1 and loss.mask.border_factor == 2.0


def test_balanced_counts_object_and_rest_alike():
    loss = recipes.balanced_loss(relaxation=0.2)
    assert loss.mask.pixel_loss is balanced_cross_entropy_loss and numbers(loss) == (1, 1, 1) and loss.relaxation == 0.2
