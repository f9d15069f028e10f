"""The clicks that answer a wrong mask, and what the next round sees of the last."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch import Tensor
from torch.nn import functional as F

from sam_ft.prompts.corrections import error_clicks, next_prompts
from sam_ft.prompts.policies import Clicks, Feedback
from sam_ft.prompts.truth import Truth
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, Prompts

SIZE = 32


def squares(images: int = 2, objects: int = 3) -> Tensor:
    masks = torch.zeros(images, objects, SIZE, SIZE, dtype=torch.bool)
    for n in range(objects):
        masks[:, n, 4 + n % 10 : 14 + n % 10, 6 + n % 10 : 20 + n % 10] = True
    return masks


def one_click(logits: Tensor, truth: Truth, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(B, N, 2), (B, N)."""
    points, labels = error_clicks(logits, truth, Clicks(), generator)
    assert points.shape[2] == labels.shape[2] == 1
    return points[:, :, 0], labels[..., 0]


def logits_of(mask: Tensor) -> Tensor:
    return 20.0 * mask.float() - 10.0


def test_next_click_is_uniform_over_the_error_region(make_truth, seeded):
    truth_mask, predicted = torch.zeros(2, 12, 12, dtype=torch.bool)
    truth_mask[2:8, 2:6] = True
    predicted[4:10, 3:7] = True
    error = truth_mask ^ predicted
    truth = make_truth(truth_mask.expand(10, 600, 12, 12))
    points, labels = one_click(logits_of(predicted).expand(10, 600, 12, 12), truth, seeded())
    places = Counter(map(tuple, points.flatten(0, 1).long().tolist()))
    pixels = [tuple(pixel) for pixel in error.nonzero().flip(-1).tolist()]
    assert set(places) <= set(pixels)
    assert chisquare([places[pixel] for pixel in pixels]).pvalue > 0.01
    x, y = points.long().unbind(-1)
    assert torch.equal(labels == FOREGROUND, truth_mask[y, x])
    assert torch.equal(labels == BACKGROUND, predicted[y, x] & ~truth_mask[y, x])


def test_click_is_foreground_where_the_object_was_missed_and_background_where_there_is_none(make_truth, seeded):
    masks = squares(images=1, objects=2)
    predicted = torch.stack([torch.zeros(SIZE, SIZE), torch.ones(SIZE, SIZE)])[None] > 0
    points, labels = one_click(logits_of(predicted), make_truth(masks), seeded())
    assert labels.tolist() == [[FOREGROUND, BACKGROUND]]
    (x0, y0), (x1, y1) = points[0].long().tolist()
    assert masks[0, 0, y0, x0] and not masks[0, 1, y1, x1]


def test_error_region_is_taken_at_the_frames_resolution(make_truth, seeded):
    low_res = torch.randn(1, 1, SIZE // 4, SIZE // 4)
    upsampled = F.interpolate(low_res, size=(SIZE, SIZE), mode="bilinear", align_corners=False) > 0
    truth = upsampled.clone()
    truth[0, 0, 9, 17] = ~truth[0, 0, 9, 17]
    points, labels = one_click(low_res, make_truth(truth), seeded())
    assert points.tolist() == [[[17, 9]]]
    assert labels.item() == (FOREGROUND if truth[0, 0, 9, 17] else BACKGROUND)


def test_without_an_error_the_click_is_uniform_over_the_background(make_truth, seeded):
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[0, 2:4] = mask[3, 1] = mask[5, :] = False
    truth = make_truth(mask.expand(10, 300, 6, 6))
    points, labels = one_click(logits_of(truth.masks), truth, seeded())
    assert (labels == BACKGROUND).all()
    places = Counter(map(tuple, points.flatten(0, 1).long().tolist()))
    pixels = [tuple(pixel) for pixel in (~mask).nonzero().flip(-1).tolist()]
    assert set(places) <= set(pixels)
    assert chisquare([places[pixel] for pixel in pixels]).pvalue > 0.01


def test_without_an_error_and_without_background_there_is_no_click(make_truth, seeded):
    truth = make_truth(torch.ones(1, 1, 6, 6, dtype=torch.bool))
    _, labels = one_click(logits_of(truth.masks), truth, seeded())
    assert labels.item() == ABSENT


@pytest.mark.parametrize("predicts_everything", [True, False])
def test_clicks_fall_inside_the_image_and_never_on_its_padding(predicts_everything, make_truth, seeded):
    inside = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    inside[0, :, :20], inside[1, :, :, :24] = True, True
    masks = squares(images=2, objects=300) & inside
    predicted = torch.ones_like(masks) if predicts_everything else masks
    points, labels = one_click(logits_of(predicted), make_truth(masks, inside=inside), seeded())
    assert (labels == BACKGROUND).all()
    assert points[0, :, 1].max() == 19 and points[0, :, 0].max() > 24
    assert points[1, :, 0].max() == 23 and points[1, :, 1].max() > 20


def test_several_clicks_of_a_round_are_drawn_from_the_same_error(make_truth, seeded):
    masks = squares(images=1, objects=400)
    points, labels = error_clicks(logits_of(torch.zeros_like(masks)), make_truth(masks), Clicks(counts=(3,)), seeded())
    assert points.shape == (1, 400, 3, 2) and (labels == FOREGROUND).all()
    x, y = points[0].long().unbind(-1)
    assert masks[0].flatten(1).gather(1, y * SIZE + x).all()
    assert (points[0, :, 0] != points[0, :, 1]).any(dim=-1).float().mean() > 0.9


def test_number_of_clicks_is_one_of_the_counts_each_as_often(make_truth, seeded):
    truth, generator = make_truth(squares(images=1, objects=1)), seeded()
    logits = logits_of(torch.zeros_like(truth.masks))
    drawn = Counter(
        error_clicks(logits, truth, Clicks(counts=(1, 3, 5, 9)), generator)[1].shape[-1] for _ in range(1000)
    )
    assert set(drawn) == {1, 3, 5, 9}
    assert chisquare(list(drawn.values())).pvalue > 0.01


def test_clicks_that_ignore_the_error_lie_anywhere_on_the_object(make_truth, seeded):
    truth, generator = make_truth(squares(images=1, objects=1)), seeded()
    predicted = truth.masks.clone()
    predicted[..., 25:30, 25:30] = True  # the error: a click there is on the background
    policy = Clicks(from_object_probability=0.3)
    labels = [error_clicks(logits_of(predicted), truth, policy, generator)[1].item() for _ in range(1000)]
    assert set(labels) == {FOREGROUND, BACKGROUND}
    assert binomtest(labels.count(FOREGROUND), 1000, 0.3).pvalue > 0.01


def test_a_pair_is_one_click_on_what_was_missed_and_one_on_what_was_wrongly_taken(make_truth, seeded):
    masks = squares(images=2, objects=50)
    predicted = masks.roll(5, dims=-1)
    points, labels = error_clicks(logits_of(predicted), make_truth(masks), Clicks(in_pairs=True), seeded())
    assert (labels == torch.tensor([FOREGROUND, BACKGROUND])).all()
    x, y = points.long().unbind(-1)
    at = (y * SIZE + x).flatten(0, 1)  # (B * N, 2)
    assert (masks & ~predicted).flatten(2).flatten(0, 1).gather(1, at)[:, 0].all()
    assert (predicted & ~masks).flatten(2).flatten(0, 1).gather(1, at)[:, 1].all()


def test_a_pair_for_a_right_mask_lies_on_the_object_and_close_around_it(make_truth, seeded):
    masks = squares(images=1, objects=1).expand(1, 500, SIZE, SIZE)
    points, labels = error_clicks(logits_of(masks), make_truth(masks), Clicks(in_pairs=True), seeded())
    assert (labels == torch.tensor([FOREGROUND, BACKGROUND])).all()
    x, y = points[0].long().unbind(-1)
    assert masks[0, 0][y[:, 0], x[:, 0]].all() and not masks[0, 0][y[:, 1], x[:, 1]].any()
    assert (x[:, 1].min(), x[:, 1].max(), y[:, 1].min(), y[:, 1].max()) == (5, 20, 3, 14)


def test_a_pair_for_an_object_that_fills_the_image_has_no_click_on_the_background(make_truth, seeded):
    masks = torch.ones(1, 1, SIZE, SIZE, dtype=torch.bool)
    _, labels = error_clicks(logits_of(masks), make_truth(masks), Clicks(in_pairs=True), seeded())
    assert labels.tolist() == [[[FOREGROUND, ABSENT]]]


# What the next round sees


def before() -> Prompts:
    return Prompts(
        points=torch.tensor([[[[3.0, 4.0]]]]),
        labels=torch.tensor([[[FOREGROUND]]]),
        boxes=torch.tensor([[[1.0, 1.0, 9.0, 9.0]]]),
        has_box=torch.tensor([[True]]),
    )


CLICK = (torch.tensor([[[[7.0, 8.0]]]]), torch.tensor([[[BACKGROUND]]]))


def test_earlier_prompts_stay_and_the_new_click_comes_last(make_truth):
    logits = torch.randn(1, 1, 8, 8)
    truth = make_truth(squares(1, 1))
    after = next_prompts(before(), logits, CLICK, truth=truth, feedback=Feedback())
    assert after.points.tolist() == [[[[3, 4], [7, 8]]]] and after.labels.tolist() == [[[FOREGROUND, BACKGROUND]]]
    assert torch.equal(after.boxes, before().boxes) and after.has_box.all()
    assert torch.equal(after.masks, logits) and torch.equal(after.has_mask, truth.valid)


def test_earlier_prompts_go_if_the_policy_does_not_keep_them(make_truth):
    logits = torch.randn(1, 1, 8, 8)
    truth, feedback = make_truth(squares(1, 1)), Feedback(keeps_prompts=False)
    after = next_prompts(before(), logits, CLICK, truth=truth, feedback=feedback)
    assert after.points.tolist() == [[[[7, 8]]]] and after.labels.tolist() == [[[BACKGROUND]]]
    assert after.boxes is None
    alone = next_prompts(before(), logits, None, truth=truth, feedback=feedback)
    assert alone.points is None and alone.boxes is None and torch.equal(alone.masks, logits)


def test_mask_is_fed_back_as_logits_and_only_on_demand_as_probabilities(make_truth):
    logits, truth = torch.randn(1, 1, 8, 8), make_truth(squares(1, 1))
    fed = next_prompts(before(), logits, None, truth=truth, feedback=Feedback(as_probabilities=True))
    assert torch.equal(fed.masks, logits.sigmoid())
    assert next_prompts(before(), None, CLICK, truth=truth, feedback=Feedback()).masks is None
