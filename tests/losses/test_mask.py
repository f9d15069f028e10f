from __future__ import annotations

import pytest
import torch

from sam_ft.losses.dice import dice_loss
from sam_ft.losses.mask import MaskLoss
from sam_ft.losses.pixels import border_weights, cross_entropy_loss, focal_loss
from sam_ft.losses.points import PointSampling

B, N, M, SIDE = 2, 3, 2, 16


def data() -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.zeros(B, N, SIDE, SIDE)
    targets[..., 3:11, 5:12] = 1
    return torch.randn(B, N, M, SIDE, SIDE), targets


def test_parts_are_the_pixel_loss_and_the_dice_loss_of_each_mask():
    logits, targets = data()
    pixel, dice = MaskLoss()(logits, targets)
    expanded = targets[:, :, None].expand_as(logits)
    torch.testing.assert_close(pixel, focal_loss(logits, expanded))
    torch.testing.assert_close(dice, dice_loss(logits, expanded))
    torch.testing.assert_close(MaskLoss(pixel_weight=3.0, dice_weight=2.0).weighted(pixel, dice), 3 * pixel + 2 * dice)


def test_border_factor_weighs_the_pixel_loss_alone():
    logits, targets = data()
    pixel, dice = MaskLoss(pixel_loss=cross_entropy_loss, border_factor=3.0)(logits, targets)
    weights = border_weights(targets, factor=3.0)
    torch.testing.assert_close(pixel[1, 2, 0], cross_entropy_loss(logits[1, 2, 0], targets[1, 2], weights[1, 2]))
    torch.testing.assert_close(dice, MaskLoss()(logits, targets)[1])


def test_loss_at_many_uniform_points_is_close_to_the_loss_of_all_pixels():
    logits, targets = data()
    logits = torch.nn.functional.avg_pool2d(logits.flatten(0, 2), 3, stride=1, padding=1).view_as(logits)
    points = PointSampling(num_points=40_000, oversampling=1, importance=0.0)
    sampled = MaskLoss(pixel_loss=cross_entropy_loss, points=points)
    everywhere = MaskLoss(pixel_loss=cross_entropy_loss)(logits, targets)
    for one, other in zip(
        sampled(logits, targets, generator=torch.Generator().manual_seed(0)), everywhere, strict=True
    ):
        torch.testing.assert_close(one, other, atol=0.03, rtol=0)


def test_loss_at_points_reaches_the_logits_and_follows_the_generator():
    logits, targets = data()
    logits.requires_grad_()
    loss = MaskLoss(points=PointSampling(num_points=64))
    first, again, other = (loss(logits, targets, generator=torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    (gradient,) = torch.autograd.grad(first.sum(), logits)
    assert gradient.flatten(3).any(dim=-1).all()


def test_points_without_a_generator_are_refused():
    with pytest.raises(ValueError, match="Expected a generator"):
        MaskLoss(points=PointSampling())(*data())


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="of at least 0, but got"):
        MaskLoss(dice_weight=-1.0)
