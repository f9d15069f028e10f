from __future__ import annotations

import math

import pytest
import torch
from monai.losses import FocalLoss
from torch.nn import functional as F

from sam_ft.losses.pixels import balanced_cross_entropy_loss, border_weights, cross_entropy_loss, focal_loss

# Cross-entropy


def test_mask_of_two_pixels_by_hand():
    logits, targets = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([[1.0, 0.0]])
    expected = (math.log(2) + math.log(4)) / 2
    torch.testing.assert_close(cross_entropy_loss(logits, targets), torch.tensor(expected))


def test_each_mask_has_its_own_cross_entropy():
    logits, targets = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    loss = cross_entropy_loss(logits, targets)
    assert loss.shape == (2, 3)
    torch.testing.assert_close(loss[1, 2], cross_entropy_loss(logits[1, 2], targets[1, 2]))


def test_perfect_prediction_has_next_to_no_cross_entropy():
    targets = (torch.rand(2, 8, 8) < 0.5).float()
    assert cross_entropy_loss((2 * targets - 1) * 50, targets).max() < 1e-6


# Balanced cross-entropy


def test_object_and_rest_count_alike_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0, 0.0, 0.0]])  # p = .75, .5, .5, .5
    targets = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    expected = (math.log(4 / 3) + math.log(2)) / 2
    torch.testing.assert_close(balanced_cross_entropy_loss(logits, targets), torch.tensor(expected))


def test_an_empty_answer_is_half_wrong_however_small_the_object():
    for side in (2, 8, 32):
        targets = torch.zeros(64, 64)
        targets[:side, :side] = 1
        loss = balanced_cross_entropy_loss(torch.full((64, 64), -20.0), targets)
        torch.testing.assert_close(loss, torch.tensor(10.0))


def test_a_pixel_that_is_half_object_counts_half_in_both_means():
    logits, targets = torch.randn(1, 3), torch.tensor([[1.0, 0.5, 0.0]])
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")[0]
    expected = ((loss[0] + loss[1] / 2) / 1.5 + (loss[2] + loss[1] / 2) / 1.5) / 2
    torch.testing.assert_close(balanced_cross_entropy_loss(logits, targets), expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_without_object_or_without_rest_has_half_a_loss(value):
    logits, targets = torch.randn(4, 5), torch.full((4, 5), value)
    expected = cross_entropy_loss(logits, targets) / 2
    torch.testing.assert_close(balanced_cross_entropy_loss(logits, targets), expected)


def test_weights_count_inside_the_means():
    logits, targets = torch.randn(6, 6), (torch.rand(6, 6) < 0.4).float()
    weights = 1 + torch.rand(6, 6)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weights
    halves = [loss[part].sum() / weights[part].sum() for part in (targets == 1, targets == 0)]
    torch.testing.assert_close(balanced_cross_entropy_loss(logits, targets, weights), sum(halves) / 2)


# Focal loss


def test_one_pixel_by_hand():
    logits = torch.tensor([[[0.0]], [[0.0]], [[math.log(3.0)]], [[math.log(3.0)]]])  # p = .5, .5, .75, .75
    targets = torch.tensor([[[1.0]], [[0.0]], [[1.0]], [[0.0]]])
    expected = [
        0.25 * 0.5**2 * math.log(2),
        0.75 * 0.5**2 * math.log(2),
        0.25 * 0.25**2 * math.log(4 / 3),
        0.75 * 0.75**2 * math.log(4),
    ]
    torch.testing.assert_close(focal_loss(logits, targets), torch.tensor(expected))


def test_loss_of_a_mask_is_the_mean_over_its_pixels():
    logits, targets = torch.randn(2, 3, 4, 5), (torch.rand(2, 3, 4, 5) < 0.4).float()
    loss = focal_loss(logits, targets)
    assert loss.shape == (2, 3)
    pixels = [
        focal_loss(logits[1, 2, y, x].view(1, 1), targets[1, 2, y, x].view(1, 1)) for y in range(4) for x in range(5)
    ]
    torch.testing.assert_close(loss[1, 2], torch.stack(pixels).mean())


@pytest.mark.reference
@pytest.mark.parametrize("alpha, gamma", [(0.25, 2.0), (0.5, 1.0), (0.9, 3.5)])
def test_focal_loss_equals_monais(alpha, gamma):
    logits, targets = 3 * torch.randn(4, 1, 9, 7), (torch.rand(4, 1, 9, 7) < 0.3).float()
    expected = FocalLoss(alpha=alpha, gamma=gamma, reduction="none")(logits, targets).mean(dim=(-2, -1))
    torch.testing.assert_close(focal_loss(logits, targets, alpha=alpha, gamma=gamma), expected)


def test_without_focus_it_is_half_the_cross_entropy():
    logits, targets = torch.randn(2, 6, 6), torch.rand(2, 6, 6)
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(-2, -1))
    torch.testing.assert_close(focal_loss(logits, targets, alpha=0.5, gamma=0.0), expected)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.49, 0.51, 0.7, 0.9])
def test_partly_covered_pixel_is_best_on_its_own_side_of_one_half(share):
    logits = torch.linspace(-4, 4, 801).view(-1, 1, 1)
    best = logits[focal_loss(logits, torch.full_like(logits, share)).argmin()].item()
    assert (best > 0) == (share > 0.5) and best != 0


def test_perfect_and_extreme_predictions_are_finite():
    targets = (torch.rand(2, 8, 8) < 0.5).float()
    logits = ((2 * targets - 1) * 200).requires_grad_()
    assert focal_loss(logits, targets).max() < 1e-6
    wrong = focal_loss(-logits, targets)
    assert wrong.isfinite().all() and wrong.min() > 10
    (gradient,) = torch.autograd.grad(wrong.sum() + focal_loss(logits, targets).sum(), logits)
    assert gradient.isfinite().all()


# Weights


@pytest.mark.parametrize("loss", [cross_entropy_loss, focal_loss])
def test_weights_are_those_of_a_mean(loss):
    logits, targets = torch.randn(2, 6, 6), torch.rand(2, 6, 6)
    weights = torch.zeros(2, 6, 6)
    weights[:, 2:4, 1:3] = 7.0
    torch.testing.assert_close(loss(logits, targets, weights), loss(logits[:, 2:4, 1:3], targets[:, 2:4, 1:3]))


def test_pixels_near_the_border_weigh_more():
    targets = torch.zeros(1, 1, 12, 12)
    targets[..., 3:9, 3:9] = 1
    weights = border_weights(targets, factor=4.0, width=1)[0, 0]
    expected = torch.ones(12, 12)
    expected[2:10, 2:10] = 5  # one pixel outside the object ...
    expected[4:8, 4:8] = 1  # ... and one inside
    assert torch.equal(weights, expected)


def test_masks_without_a_border_weigh_the_same_everywhere():
    for value in (0.0, 1.0):
        assert (border_weights(torch.full((1, 1, 5, 5), value), factor=4.0) == 1).all()
