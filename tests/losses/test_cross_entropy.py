from __future__ import annotations

import math

import torch

from sam_ft.losses.cross_entropy import cross_entropy_loss


def test_mask_of_two_pixels_by_hand():
    logits, targets = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([[1.0, 0.0]])
    expected = (math.log(2) + math.log(4)) / 2
    torch.testing.assert_close(cross_entropy_loss(logits, targets), torch.tensor(expected))


def test_each_mask_has_its_own_loss():
    logits, targets = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    loss = cross_entropy_loss(logits, targets)
    assert loss.shape == (2, 3)
    torch.testing.assert_close(loss[1, 2], cross_entropy_loss(logits[1, 2], targets[1, 2]))


def test_perfect_prediction_costs_next_to_nothing():
    targets = (torch.rand(2, 8, 8) < 0.5).float()
    assert cross_entropy_loss((2 * targets - 1) * 50, targets).max() < 1e-6
