from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sam_ft.losses.semantic import SemanticLoss, class_shares

B, K, SIDE = 2, 4, 8


def shares_of(labels):
    return class_shares(labels, num_classes=K, size=labels.shape[-1])


@pytest.fixture
def labels():
    return torch.randint(K, (B, SIDE, SIDE))


def test_shares_are_the_mean_of_the_one_hot_labels_in_each_cell(labels):
    shares = class_shares(labels, num_classes=K, size=2)
    expected = F.avg_pool2d(F.one_hot(labels, K).permute(0, 3, 1, 2).float(), 4)
    torch.testing.assert_close(shares, expected)


def test_an_unknown_pixel_is_of_no_class():
    labels = torch.tensor([[[1, 1], [-1, 0]]])
    assert class_shares(labels, num_classes=2, size=1).flatten().tolist() == [0.25, 0.5]


def test_cross_entropy_is_torchs_over_the_known_pixels(labels):
    logits = torch.randn(B, K, SIDE, SIDE)
    labels[0, :3] = -1
    parts = SemanticLoss()(logits, shares_of(labels))
    expected = [F.cross_entropy(logits[b : b + 1], labels[b : b + 1], ignore_index=-1) for b in range(B)]
    torch.testing.assert_close(parts.cross_entropy, sum(expected) / B)


def test_dice_is_over_the_classes_that_occur_in_the_image():
    logits = torch.randn(1, K, 2, 2)
    labels = torch.tensor([[[0, 2], [2, -1]]])
    p = logits.softmax(dim=1)[0].flatten(1)[:, :3]
    first = 1 - (2 * p[0, 0] + 1) / (p[0].sum() + 1 + 1)
    third = 1 - (2 * (p[2, 1] + p[2, 2]) + 1) / (p[2].sum() + 2 + 1)
    torch.testing.assert_close(SemanticLoss()(logits, shares_of(labels)).dice, (first + third) / 2)


def test_a_perfect_answer_costs_next_to_nothing_and_the_weights_are_the_callers(labels):
    right = 40 * F.one_hot(labels, K).permute(0, 3, 1, 2).float()
    assert SemanticLoss()(right, shares_of(labels)).total < 1e-5
    parts = SemanticLoss(cross_entropy_weight=2.0, dice_weight=3.0)(torch.randn(right.shape), shares_of(labels))
    torch.testing.assert_close(parts.total, 2 * parts.cross_entropy + 3 * parts.dice)


def test_unknown_pixels_get_no_gradient_and_may_hold_anything(labels):
    labels[:, 2:5] = -1
    logits = torch.randn(B, K, SIDE, SIDE, requires_grad=True)
    loss = SemanticLoss()(logits, shares_of(labels)).total
    loss.backward()
    assert not logits.grad[:, :, 2:5].any() and logits.grad[:, :, :2].any()
    other = logits.detach().clone()
    other[:, :, 2:5] = 100 * torch.randn(B, K, 3, SIDE)
    torch.testing.assert_close(SemanticLoss()(other, shares_of(labels)).total, loss)


def test_an_image_without_a_known_pixel_counts_zero(labels):
    logits = torch.randn(B, K, SIDE, SIDE, requires_grad=True)
    labels[1] = -1
    both = SemanticLoss()(logits, shares_of(labels))
    alone = SemanticLoss()(logits[:1], shares_of(labels[:1]))
    torch.testing.assert_close(both.total, alone.total / 2)
    labels[0] = -1
    nothing = SemanticLoss()(logits, shares_of(labels)).total
    nothing.backward()
    assert nothing == 0 and not logits.grad.any()


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (0.0, 0.0)])
def test_weights_that_teach_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="`cross_entropy_weight` and `dice_weight`"):
        SemanticLoss(*weights)


def test_padded_images_of_which_no_pixel_is_known_change_nothing():
    logits, labels = torch.randn(3, 4, 8, 8, requires_grad=True), torch.randint(0, 4, (3, 8, 8))
    labels[2] = -1
    loss = SemanticLoss()
    alone = loss(logits[:2], class_shares(labels[:2], num_classes=4, size=8))
    padded = loss(logits, class_shares(labels, num_classes=4, size=8), num_images=2)
    torch.testing.assert_close(padded.total, alone.total)
    (gradient,) = torch.autograd.grad(padded.total, logits)
    (expected,) = torch.autograd.grad(alone.total, logits)
    torch.testing.assert_close(gradient, expected)
