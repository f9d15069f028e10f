from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceLoss

from sam_ft.losses.dice import dice_loss


def test_mask_of_four_pixels_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, -math.log(3.0)]])  # p = .5, .75, .5, .25
    targets = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    # overlap 1.25, sums 2 and 2
    torch.testing.assert_close(dice_loss(logits, targets, smooth=0.0), torch.tensor(1 - 2.5 / 4))
    torch.testing.assert_close(dice_loss(logits, targets), torch.tensor(1 - 3.5 / 5))


@pytest.mark.reference
@pytest.mark.parametrize("smooth", [1.0, 1e-5])
def test_dice_loss_equals_monais(smooth):
    logits, targets = torch.randn(3, 4, 9, 7), torch.rand(3, 4, 9, 7)
    reference = DiceLoss(sigmoid=True, smooth_nr=smooth, smooth_dr=smooth, reduction="none")(logits, targets)
    torch.testing.assert_close(dice_loss(logits, targets, smooth=smooth), reference[..., 0, 0])


def test_perfect_prediction_costs_next_to_nothing_and_its_opposite_all():
    targets = torch.zeros(2, 16, 16)
    targets[0, 3:9, 2:12] = 1
    targets[1, 8:] = 1
    logits = (2 * targets - 1) * 50
    assert dice_loss(logits, targets).max() < 1e-6
    assert dice_loss(-logits, targets).min() > 0.99


def test_empty_prediction_of_an_empty_target_costs_nothing():
    empty = torch.zeros(1, 5, 5)
    assert dice_loss(empty - 100, empty).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(empty + 100, empty).item() == pytest.approx(1 - 1 / 26)


def test_loss_lies_between_zero_and_one():
    loss = dice_loss(5 * torch.randn(50, 6, 6), torch.rand(50, 6, 6))
    assert loss.min() >= 0 and loss.max() <= 1
