from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sam_ft.losses.dice import dice_loss
from sam_ft.losses.iou import iou_regression_loss
from sam_ft.losses.mask import MaskLoss
from sam_ft.losses.pixels import cross_entropy_loss, focal_loss
from sam_ft.losses.recipes import from_scratch_loss, sam2_loss, sam_loss, sam_med2d_loss
from sam_ft.losses.segmentation import LossParts, SegmentationLoss, mean_over_images
from sam_ft.types import MaskPrediction

B, N, M, SIDE = 2, 3, 3, 8


@pytest.fixture
def targets() -> Tensor:
    return (torch.rand(B, N, SIDE, SIDE) < 0.4).float()


@pytest.fixture
def prediction() -> MaskPrediction:
    return MaskPrediction(torch.randn(B, N, M, SIDE, SIDE, requires_grad=True), torch.rand(B, N, M, requires_grad=True))


def all_of(prediction: MaskPrediction) -> Tensor:
    return torch.ones_like(prediction.iou_predictions, dtype=torch.bool)


def mask_losses(prediction: MaskPrediction, targets: Tensor) -> Tensor:
    """20 focal + dice of each mask: (B, N, M)."""
    expanded = targets[:, :, None].expand_as(prediction.low_res_logits)
    logits = prediction.low_res_logits
    return 20 * focal_loss(logits, expanded) + dice_loss(logits, expanded)


def test_parts_are_those_of_the_best_mask_and_weigh_20_to_1_to_1(prediction, targets):
    parts = sam_loss()(prediction, targets, all_of(prediction))
    best = mask_losses(prediction, targets).argmin(dim=-1)
    for b in range(B):
        for n in range(N):
            logits = prediction.low_res_logits[b, n, best[b, n]]
            torch.testing.assert_close(parts.pixel[b, n], focal_loss(logits, targets[b, n]))
            torch.testing.assert_close(parts.dice[b, n], dice_loss(logits, targets[b, n]))
    torch.testing.assert_close(parts.total, 20 * parts.pixel + parts.dice + parts.iou)


def test_weights_and_pixel_loss_are_the_callers(prediction, targets):
    mask = MaskLoss(pixel_loss=cross_entropy_loss, pixel_weight=3.0, dice_weight=5.0)
    loss = SegmentationLoss(mask=mask, iou_weight=7.0)
    parts = loss(prediction, targets, all_of(prediction))
    torch.testing.assert_close(parts.total, 3 * parts.pixel + 5 * parts.dice + 7 * parts.iou)
    one = MaskPrediction(prediction.low_res_logits[:, :, :1], prediction.iou_predictions[:, :, :1])
    pixel = loss(one, targets, all_of(one)).pixel
    torch.testing.assert_close(pixel, cross_entropy_loss(one.low_res_logits[:, :, 0], targets))


def test_only_the_mask_of_the_lowest_loss_is_taught(prediction, targets):
    parts = sam_loss()(prediction, targets, all_of(prediction))
    (gradient,) = torch.autograd.grad(parts.total.sum(), prediction.low_res_logits)
    is_taught = gradient.flatten(3).any(dim=-1)  # (B, N, M)
    best = mask_losses(prediction, targets).argmin(dim=-1, keepdim=True)
    assert torch.equal(is_taught, torch.zeros_like(is_taught).scatter(-1, best, True))


def test_iou_head_learns_from_all_masks_that_answer_the_prompt(prediction, targets):
    parts = sam_loss()(prediction, targets, all_of(prediction))
    expanded = targets[:, :, None].expand_as(prediction.low_res_logits)
    each = iou_regression_loss(prediction.iou_predictions, prediction.low_res_logits, expanded)  # (B, N, M)
    torch.testing.assert_close(parts.iou, each.mean(dim=-1))
    (gradient,) = torch.autograd.grad(parts.iou.sum(), prediction.iou_predictions)
    assert gradient.all()


def test_iou_part_sends_no_gradient_into_the_logits(prediction, targets):
    parts = sam_loss()(prediction, targets, all_of(prediction))
    (gradient,) = torch.autograd.grad(parts.iou.sum(), prediction.low_res_logits, allow_unused=True)
    assert gradient is None


def test_relaxation_shares_the_loss_among_the_candidates(prediction, targets):
    relaxed = SegmentationLoss(relaxation=0.3)(prediction, targets, all_of(prediction))
    each = mask_losses(prediction, targets)
    expected = 0.7 * each.amin(dim=-1) + 0.3 * each.mean(dim=-1)
    torch.testing.assert_close(relaxed.total - relaxed.iou, expected)
    (gradient,) = torch.autograd.grad(relaxed.total.sum(), prediction.low_res_logits)
    assert gradient.flatten(3).any(dim=-1).all()


def test_relaxation_changes_nothing_where_one_mask_answers(prediction, targets):
    candidates = torch.zeros(B, N, M, dtype=torch.bool)
    candidates[..., 0] = True
    strict = SegmentationLoss()(prediction, targets, candidates)
    relaxed = SegmentationLoss(relaxation=0.3)(prediction, targets, candidates)
    torch.testing.assert_close(relaxed.total, strict.total)


@pytest.mark.parametrize("relaxation", [-0.1, 1.1, float("nan")])
def test_relaxation_outside_its_range_is_refused(relaxation):
    with pytest.raises(ValueError, match="Expected `relaxation` between 0 and 1, but got"):
        SegmentationLoss(relaxation=relaxation)


@pytest.mark.parametrize("relaxation", [0.0, 0.2])
def test_masks_that_do_not_answer_the_prompt_count_for_nothing(prediction, targets, relaxation):
    loss = SegmentationLoss(relaxation=relaxation)
    answers = torch.tensor([False, True, True])
    candidates = answers.expand(B, N, M)
    perfect = (2 * targets - 1) * 30
    with torch.no_grad():
        prediction.low_res_logits[:, :, 0] = perfect  # the best of all, but not asked for
    parts = loss(prediction, targets, candidates)
    alone = MaskPrediction(prediction.low_res_logits[:, :, answers], prediction.iou_predictions[:, :, answers])
    expected = loss(alone, targets, all_of(alone))
    for name, part in vars(parts).items():
        torch.testing.assert_close(part, getattr(expected, name), msg=name)
    logits, ious = torch.autograd.grad(parts.total.sum(), [prediction.low_res_logits, prediction.iou_predictions])
    assert not logits[:, :, 0].any() and not ious[:, :, 0].any()


def test_objects_whose_neighbour_has_another_kind_of_prompt_cost_what_they_cost_alone(targets):
    """A call of points alone gives 3 masks, boxes alone 1, both together 4: an object must not notice."""
    prediction = MaskPrediction(torch.randn(1, 2, 4, SIDE, SIDE), torch.rand(1, 2, 4))
    candidates = torch.tensor([[[False, True, True, True], [True, False, False, False]]])
    together = sam_loss()(prediction, targets[:1, :2], candidates)
    for n, tokens in enumerate((slice(1, 4), slice(0, 1))):
        here = slice(n, n + 1)
        alone = MaskPrediction(prediction.low_res_logits[:, here, tokens], prediction.iou_predictions[:, here, tokens])
        expected = sam_loss()(alone, targets[:1, here], all_of(alone))
        torch.testing.assert_close(together.total[:, here], expected.total)


def test_perfect_prediction_costs_next_to_nothing(targets):
    logits = ((2 * targets - 1) * 50)[:, :, None]
    parts = sam_loss()(MaskPrediction(logits, torch.ones(B, N, 1)), targets, torch.ones(B, N, 1, dtype=torch.bool))
    assert parts.total.max() < 1e-5
    worst = sam_loss()(MaskPrediction(-logits, torch.ones(B, N, 1)), targets, torch.ones(B, N, 1, dtype=torch.bool))
    assert worst.total.min() > 10


def test_loss_of_half_precision_logits_is_computed_in_float32(prediction, targets):
    half = MaskPrediction(prediction.low_res_logits.bfloat16(), prediction.iou_predictions.bfloat16())
    parts = sam_loss()(half, targets, all_of(half))
    assert {part.dtype for part in vars(parts).values()} == {torch.float32}


@pytest.mark.parametrize("value", [{"iou_power": 3}, {"taught": "best"}])
def test_unknown_rules_are_refused(value):
    with pytest.raises(ValueError, match=f"Expected `{next(iter(value))}` to be"):
        SegmentationLoss(**value)


def test_most_confident_mask_is_taught_where_the_loss_says_so(prediction, targets):
    parts = sam_med2d_loss()(prediction, targets, all_of(prediction))
    (gradient,) = torch.autograd.grad(parts.total.sum(), prediction.low_res_logits)
    confident = prediction.iou_predictions.argmax(dim=-1, keepdim=True)
    is_taught = gradient.flatten(3).any(dim=-1)
    assert torch.equal(is_taught, torch.zeros_like(is_taught).scatter(-1, confident, True))


def test_absolute_iou_difference_where_the_loss_says_so(prediction, targets):
    parts = sam2_loss()(prediction, targets, all_of(prediction))
    expanded = targets[:, :, None].expand_as(prediction.low_res_logits)
    squared = iou_regression_loss(prediction.iou_predictions, prediction.low_res_logits, expanded)
    torch.testing.assert_close(parts.iou, squared.sqrt().mean(dim=-1))


# Presence of the object


def test_presence_is_taught_and_absent_objects_cost_nothing_else(prediction, targets):
    targets[0, 1] = 0
    logits = torch.randn(B, N, requires_grad=True)
    parts = sam2_loss(presence_weight=3.0)(replace(prediction, object_logits=logits), targets, all_of(prediction))
    expected = torch.nn.functional.softplus(logits[0, 1])
    torch.testing.assert_close(parts.presence[0, 1], expected)
    torch.testing.assert_close(parts.total[0, 1], 3 * expected)
    assert parts.pixel[0, 1] == parts.dice[0, 1] == parts.iou[0, 1] == 0
    torch.testing.assert_close(parts.presence[0, 0], torch.nn.functional.softplus(-logits[0, 0]))
    (gradient,) = torch.autograd.grad(parts.total.sum(), prediction.low_res_logits)
    assert not gradient[0, 1].any() and gradient[0, 0].any()


def test_model_that_says_nothing_of_presence_is_taught_as_ever(prediction, targets):
    parts = sam2_loss()(prediction, targets, all_of(prediction))
    assert not parts.presence.any()
    torch.testing.assert_close(parts.total, 20 * parts.pixel + parts.dice + parts.iou)


# Means over objects and images


def test_mean_is_over_the_valid_objects_of_each_image_and_then_over_the_images():
    loss = torch.tensor([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0]])
    valid = torch.tensor([[True, True, False], [True, False, False]])
    assert mean_over_images(loss, valid).item() == pytest.approx((1.5 + 4.0) / 2)


def test_image_without_objects_counts_zero():
    loss = torch.tensor([[3.0, 5.0], [7.0, 7.0]])
    valid = torch.tensor([[True, True], [False, False]])
    assert mean_over_images(loss, valid).item() == pytest.approx(4.0 / 2)
    assert mean_over_images(loss, torch.zeros_like(valid)).item() == 0
    assert mean_over_images(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool)).item() == 0


def test_padded_objects_may_hold_anything():
    loss = torch.tensor([[3.0, float("nan")], [float("inf"), 7.0]])
    valid = torch.tensor([[True, False], [False, True]])
    assert mean_over_images(loss, valid).item() == 5


def test_padded_images_have_no_part_in_the_mean():
    loss = torch.tensor([[3.0, 5.0], [float("nan"), 7.0]])
    valid = torch.tensor([[True, True], [False, False]])
    assert mean_over_images(loss, valid, num_images=1).item() == 4


def test_parts_are_averaged_each_by_itself():
    valid = torch.tensor([[True, False]])
    parts = LossParts(*(torch.tensor([[value, 99.0]]) for value in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)))
    assert [part.item() for part in vars(parts.mean_over_images(valid)).values()] == [1, 2, 3, 4, 5, 6]


def test_sum_over_micro_batches_is_the_loss_of_the_whole_step():
    loss, valid = torch.rand(4, 5), torch.rand(4, 5) < 0.5
    halves = torch.stack([mean_over_images(loss[here], valid[here]) for here in (slice(0, 2), slice(2, 4))])
    torch.testing.assert_close(halves.mean(), mean_over_images(loss, valid))


def test_padded_objects_change_neither_loss_nor_gradient(prediction, targets):
    valid = torch.tensor([[True, True, False], [True, False, False]])
    loss = from_scratch_loss()

    def loss_and_gradients(padding: int) -> tuple[Tensor, Tensor, Tensor]:
        logits = torch.cat([prediction.low_res_logits, 9 * torch.randn(B, padding, M, SIDE, SIDE)], dim=1)
        ious = torch.cat([prediction.iou_predictions, torch.rand(B, padding, M)], dim=1)
        padded = MaskPrediction(logits, ious)
        padded_targets = torch.cat([targets, torch.zeros(B, padding, SIDE, SIDE)], dim=1)
        padded_valid = torch.cat([valid, torch.zeros(B, padding, dtype=torch.bool)], dim=1)
        total = loss(padded, padded_targets, all_of(padded)).mean_over_images(padded_valid).total
        return total, *torch.autograd.grad(total, [prediction.low_res_logits, prediction.iou_predictions])

    expected, padded = loss_and_gradients(0), loss_and_gradients(4)
    for one, two in zip(expected, padded, strict=True):
        torch.testing.assert_close(two, one, atol=1e-6, rtol=1e-6)
    for gradient in expected[1:]:
        assert not gradient[~valid].any()
        assert gradient[valid].any()


def test_image_of_padded_objects_alone_adds_no_gradient(prediction, targets):
    valid = torch.tensor([[True, True, True], [False, False, False]])
    total = sam_loss()(prediction, targets, all_of(prediction)).mean_over_images(valid).total
    (gradient,) = torch.autograd.grad(total, prediction.low_res_logits)
    assert not gradient[1].any() and gradient[0].any()
    first = replace(
        prediction,
        low_res_logits=prediction.low_res_logits[:1],
        iou_predictions=prediction.iou_predictions[:1],
    )
    alone = sam_loss()(first, targets[:1], all_of(first)).mean_over_images(valid[:1]).total
    torch.testing.assert_close(total, alone / 2)


def test_the_class_is_taught_for_the_mask_that_is_taught(prediction, targets):
    class_logits = torch.randn(B, N, M, 4, requires_grad=True)
    classes = torch.randint(4, (B, N))
    classed = replace(prediction, class_logits=class_logits)
    loss = replace(sam_loss(), class_weight=3.0)
    parts = loss(classed, targets, all_of(prediction), classes=classes)
    best = mask_losses(prediction, targets).argmin(dim=-1)
    for b in range(B):
        for n in range(N):
            surprise = -class_logits[b, n, best[b, n]].log_softmax(dim=-1)[classes[b, n]]
            torch.testing.assert_close(parts.classes[b, n], surprise)
    plain = sam_loss()(prediction, targets, all_of(prediction))
    torch.testing.assert_close(parts.total, plain.total + 3 * parts.classes)
    parts.total.sum().backward()
    taught = class_logits.grad.abs().sum(dim=-1) > 0  # (B, N, M)
    assert torch.equal(taught, torch.nn.functional.one_hot(best, M).bool())


def test_without_class_logits_or_classes_there_is_no_class_loss(prediction, targets):
    classed = replace(prediction, class_logits=torch.randn(B, N, M, 4))
    assert not sam_loss()(classed, targets, all_of(prediction)).classes.any()
    assert not sam_loss()(prediction, targets, all_of(prediction), classes=torch.zeros(B, N).long()).classes.any()


def test_a_negative_class_weight_is_refused():
    with pytest.raises(ValueError, match="`class_weight`"):
        SegmentationLoss(class_weight=-1.0)
