"""Rounds of prompts against a fake model, whose answers are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch import Tensor
from torch.nn import functional as F

from sam_ft.prompts.presets import InteractivePreset, box_only, sam_paper
from sam_ft.prompts.sampling import BoxNoise
from sam_ft.prompts.simulation import (
    Round,
    Truth,
    chosen_logits,
    first_prompts,
    next_click,
    plan_rounds,
    simulate_rounds,
)
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, MaskPrediction, Prompts

SIZE = 32
ONE_BOX = InteractivePreset(point_probability=0.0)
ONE_POINT = InteractivePreset(point_probability=1.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_truth(masks: Tensor, *, valid: Tensor | None = None, inside: Tensor | None = None) -> Truth:
    everywhere = torch.ones(len(masks), 1, *masks.shape[-2:], dtype=torch.bool)
    everyone = torch.ones(masks.shape[:2], dtype=torch.bool)
    return Truth(
        masks=masks, valid=everyone if valid is None else valid, inside=everywhere if inside is None else inside
    )


def squares(images: int = 2, objects: int = 3) -> Tensor:
    masks = torch.zeros(images, objects, SIZE, SIZE, dtype=torch.bool)
    for n in range(objects):
        masks[:, n, 4 + n : 14 + n, 6 + n : 20 + n] = True
    return masks


@dataclass
class FakeModel:
    """Answers with noise, different in each call and mask; token 2 is the most confident of all."""

    confidence: tuple[float, ...] = (0.5, 0.1, 0.9, 0.3)
    calls: list[tuple[Prompts, bool | None]] = field(default_factory=list)
    predictions: list[MaskPrediction] = field(default_factory=list)
    scale: Tensor = field(default_factory=lambda: torch.ones((), requires_grad=True))

    def __call__(self, prompts: Prompts, multimask_output: bool | None) -> MaskPrediction:
        batch, objects = prompts.labels.shape[:2]
        tokens = {True: slice(1, 4), False: slice(0, 1), None: slice(0, 4)}[multimask_output]
        noise = torch.randn(batch, objects, 4, SIZE // 4, SIZE // 4, generator=seeded(len(self.calls)))
        ious = torch.tensor(self.confidence).expand(batch, objects, 4)
        prediction = MaskPrediction(self.scale * noise[:, :, tokens], self.scale * ious[:, :, tokens])
        self.calls.append((prompts, multimask_output))
        self.predictions.append(prediction)
        return prediction


def simulate(model: Callable, truth: Truth, preset: InteractivePreset, *, seed: int = 0) -> list[Round]:
    return list(simulate_rounds(model, truth, preset, generator=seeded(seed)))


# First prompts


def test_first_prompt_is_a_point_or_a_box_with_equal_chance():
    truth = make_truth(torch.ones(50, 80, 8, 8, dtype=torch.bool))
    prompts, _ = first_prompts(truth, sam_paper(), seeded())
    is_point = (prompts.labels == FOREGROUND).squeeze(-1)
    assert torch.equal(is_point, ~prompts.has_box)  # one of the two, never both
    assert binomtest(int(is_point.sum()), 4000, 0.5).pvalue > 0.01


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_first_prompt_is_a_point_as_often_as_the_preset_says(probability):
    truth = make_truth(torch.ones(50, 80, 8, 8, dtype=torch.bool))
    prompts, _ = first_prompts(truth, InteractivePreset(point_probability=probability), seeded())
    points = int((prompts.labels == FOREGROUND).sum())
    assert binomtest(points, 4000, probability).pvalue > 0.01


def test_first_point_is_uniform_over_the_object():
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[1, 2] = mask[3, 1:7] = mask[6:, 4:6] = True
    truth = make_truth(mask.expand(10, 400, 8, 8))
    prompts, _ = first_prompts(truth, ONE_POINT, seeded())
    places = Counter(map(tuple, prompts.points.flatten(0, 2).long().tolist()))
    pixels = [tuple(pixel) for pixel in mask.nonzero().flip(-1).tolist()]
    assert set(places) <= set(pixels)
    assert chisquare([places[pixel] for pixel in pixels]).pvalue > 0.01


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_first_point_is_the_centre_as_often_as_the_preset_says(probability):
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[1:62, 3:54] = True  # a band of pixels is as deep as the deepest; the first of them counts
    truth = make_truth(mask.expand(10, 400, 64, 64))
    preset = InteractivePreset(point_probability=0.5, centre_probability=probability)
    prompts, _ = first_prompts(truth, preset, seeded())
    points = prompts.points[prompts.labels == FOREGROUND]
    centres = int((points == torch.tensor([28.0, 26.0])).all(dim=-1).sum())
    assert binomtest(len(points), 4000, 0.5).pvalue > 0.01
    assert centres == len(points) if probability == 1 else binomtest(centres, len(points), probability).pvalue > 0.01


def test_first_box_is_the_objects_with_the_presets_noise():
    masks = torch.zeros(1, 4000, 64, 64, dtype=torch.bool)
    masks[..., 20:41, 24:35] = True  # rows 20 to 40, columns 24 to 34
    clean = torch.tensor([24.0, 20.0, 34.0, 40.0])
    quiet = InteractivePreset(point_probability=0.0, box_noise=BoxNoise(deviation=0.0))
    prompts, _ = first_prompts(make_truth(masks[:, :1]), quiet, seeded())
    assert torch.equal(prompts.boxes[0, 0], clean)
    noisy = InteractivePreset(point_probability=0.0, box_noise=BoxNoise(cap_px=1e3))
    prompts, _ = first_prompts(make_truth(masks), noisy, seeded())
    assert (prompts.boxes[0] - clean).std(dim=0).tolist() == pytest.approx([1, 2, 1, 2], rel=0.05)


def test_first_box_stays_in_the_image_without_its_padding():
    masks = torch.zeros(2, 400, SIZE, SIZE, dtype=torch.bool)
    masks[..., 2:12, 3:20] = True
    inside = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    inside[0, :, :12, :] = inside[1, :, :, :21] = True  # a wide image, a high one
    preset = InteractivePreset(point_probability=0.0, box_noise=BoxNoise(deviation=0.5, cap_px=1e6))
    prompts, _ = first_prompts(make_truth(masks, inside=inside), preset, seeded())
    assert prompts.boxes[0, :, 3].max() == 11 and prompts.boxes[0, :, 2].max() > 20
    assert prompts.boxes[1, :, 2].max() == 20 and prompts.boxes[1, :, 3].max() > 12


@pytest.mark.parametrize("box_is_ambiguous, expected", [(True, True), (False, None)])
def test_a_lone_box_is_answered_by_three_masks_if_the_preset_says_so(box_is_ambiguous, expected):
    model = FakeModel()
    preset = InteractivePreset(box_is_ambiguous=box_is_ambiguous)
    simulate(model, make_truth(squares(images=4, objects=8)), preset)
    prompts, multimask_output = model.calls[0]
    assert multimask_output is expected
    assert 0 < prompts.has_box.sum() < prompts.has_box.numel()


def test_candidates_are_three_masks_for_points_and_one_for_unambiguous_boxes_of_the_same_call():
    first = simulate(FakeModel(), make_truth(squares(4, 8)), InteractivePreset(box_is_ambiguous=False))[0]
    for has_box, candidates in zip(first.prompts.has_box.flatten(), first.candidates.flatten(0, 1), strict=True):
        assert candidates.tolist() == ([True, False, False, False] if has_box else [False, True, True, True])


# The plan of rounds


def test_paper_has_eleven_rounds_of_which_the_last_is_on_the_mask_alone():
    for seed in range(20):
        plan = plan_rounds(sam_paper(), seeded(seed))
        assert 1 + len(plan) == 11
        assert plan.count(True) == 8 and plan[-1] is False


def test_other_mask_only_round_is_uniform_over_the_eight_places_before_a_click():
    generator = seeded()
    places = Counter(plan_rounds(sam_paper(), generator).index(False) for _ in range(4000))
    assert set(places) == set(range(8))
    assert chisquare([places[place] for place in range(8)]).pvalue > 0.01


@pytest.mark.parametrize("clicks, mask_only", [(0, 0), (0, 1), (3, 0), (3, 1), (2, 4)])
def test_plan_has_as_many_rounds_of_each_kind_as_the_preset_says(clicks, mask_only):
    preset = InteractivePreset(num_clicks=clicks, num_mask_only=mask_only)
    plan = plan_rounds(preset, seeded())
    assert (plan.count(True), plan.count(False)) == (clicks, mask_only)
    assert preset.num_rounds == len(simulate(FakeModel(), make_truth(squares()), preset))


def test_drawn_number_of_clicks_is_uniform_from_the_fewest_to_the_most():
    preset, generator = InteractivePreset(num_clicks=4, fewest_clicks=1, num_mask_only=1), seeded()
    plans = [plan_rounds(preset, generator) for _ in range(4000)]
    counts = Counter(plan.count(True) for plan in plans)
    assert set(counts) == {1, 2, 3, 4}
    assert chisquare([counts[count] for count in (1, 2, 3, 4)]).pvalue > 0.01
    assert all(plan.count(False) == 1 and plan[-1] is False for plan in plans)


def test_box_only_asks_once_with_boxes_and_without_points():
    model = FakeModel()
    (answer,) = simulate(model, make_truth(squares()), box_only())
    assert (answer.prompts.labels == ABSENT).all() and answer.prompts.has_box.all()
    assert answer.prompts.masks is None


# Rounds


def test_points_accumulate_and_mask_only_rounds_add_none():
    for seed in range(5):
        rounds = simulate(FakeModel(), make_truth(squares()), sam_paper(), seed=seed)
        counts = [answer.prompts.labels.shape[-1] for answer in rounds]
        steps = [after - before for before, after in pairwise(counts)]
        assert counts[0] == 1 and counts[-1] == 9
        assert sorted(steps) == [0, 0] + [1] * 8 and steps[-1] == 0
        for before, after in pairwise(rounds):
            kept = before.prompts.labels.shape[-1]
            assert torch.equal(after.prompts.points[:, :, :kept], before.prompts.points)
            assert torch.equal(after.prompts.labels[:, :, :kept], before.prompts.labels)


def test_boxes_stay_in_every_round():
    rounds = simulate(FakeModel(), make_truth(squares()), sam_paper())
    assert rounds[0].prompts.has_box.any()
    for answer in rounds:
        assert torch.equal(answer.prompts.boxes, rounds[0].prompts.boxes)
        assert torch.equal(answer.prompts.has_box, rounds[0].prompts.has_box)


def test_only_the_first_round_asks_for_several_masks():
    model = FakeModel()
    rounds = simulate(model, make_truth(squares()), sam_paper())
    assert [choice for _, choice in model.calls] == [True] + [False] * 10
    assert all(answer.candidates.all() for answer in rounds)
    assert [answer.candidates.shape[-1] for answer in rounds] == [3] + [1] * 10


def test_padded_objects_do_not_make_a_call_compute_all_four_masks():
    valid = torch.tensor([[True, True, False], [True, False, False]])
    for preset, first in ((sam_paper(), True), (InteractivePreset(0.0, box_is_ambiguous=False), False)):
        model = FakeModel()
        simulate(model, make_truth(squares(), valid=valid), preset)
        assert [choice for _, choice in model.calls] == [first] + [False] * 10


def test_mask_prompt_is_the_most_confident_answer_of_the_round_before():
    model = FakeModel()
    rounds = simulate(model, make_truth(squares()), sam_paper())
    assert rounds[0].prompts.masks is None
    for index, (before, after) in enumerate(pairwise(rounds)):
        best = 1 if index == 0 else 0  # token 2 is the second of tokens 1 to 3
        assert torch.equal(after.prompts.masks, before.prediction.low_res_logits[:, :, best])
        assert after.prompts.has_mask.all()


def test_masks_that_are_no_candidates_are_never_chosen_however_confident():
    logits, ious = torch.randn(1, 2, 4, 8, 8), torch.tensor([[[0.9, 0.1, 0.3, 0.2], [0.1, 0.9, 0.8, 0.7]]])
    candidates = torch.tensor([[[False, True, True, True], [True, False, False, False]]])
    chosen = chosen_logits(Round(None, MaskPrediction(logits, ious), candidates))
    assert torch.equal(chosen[0, 0], logits[0, 0, 2])
    assert torch.equal(chosen[0, 1], logits[0, 1, 0])


def test_chosen_logits_carry_no_gradient():
    prediction = MaskPrediction(torch.randn(1, 1, 2, 8, 8, requires_grad=True), torch.rand(1, 1, 2))
    assert not chosen_logits(Round(None, prediction, torch.ones(1, 1, 2, dtype=torch.bool))).requires_grad


def test_gradient_flows_through_each_prediction_but_not_from_round_to_round():
    model = FakeModel()
    rounds = simulate(model, make_truth(squares()), sam_paper())
    for answer in rounds:
        assert answer.prediction.low_res_logits.requires_grad
        for prompt in (answer.prompts.points, answer.prompts.boxes, answer.prompts.masks):
            assert prompt is None or not prompt.requires_grad
    (gradient,) = torch.autograd.grad(rounds[3].prediction.low_res_logits.sum(), model.scale)
    assert gradient != 0


def test_gradients_are_as_the_caller_left_them_while_a_round_is_used():
    for _ in simulate_rounds(FakeModel(), make_truth(squares()), sam_paper(), generator=seeded()):
        assert torch.is_grad_enabled()


def test_same_seed_gives_the_same_rounds_and_another_seed_others():
    first, again, other = (simulate(FakeModel(), make_truth(squares()), sam_paper(), seed=s) for s in (5, 5, 6))
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.prompts.points, two.prompts.points)
        assert torch.equal(one.prompts.labels, two.prompts.labels)
        assert torch.equal(one.prompts.boxes, two.prompts.boxes)
    assert not torch.equal(first[-1].prompts.points, other[-1].prompts.points)


def test_all_randomness_comes_from_the_generator():
    torch.manual_seed(1)
    first = simulate(FakeModel(), make_truth(squares()), sam_paper())
    torch.manual_seed(2)
    again = simulate(FakeModel(), make_truth(squares()), sam_paper())
    assert torch.equal(first[-1].prompts.points, again[-1].prompts.points)


def test_padded_objects_get_absent_prompts_in_every_round():
    valid = torch.tensor([[True, False, True], [False, True, False]])
    masks = squares()
    masks[1, 2] = False  # padding is empty
    for answer in simulate(FakeModel(), make_truth(masks, valid=valid), sam_paper()):
        assert (answer.prompts.labels[~valid] == ABSENT).all()
        assert not answer.prompts.has_box[~valid].any()
        assert answer.prompts.has_mask is None or torch.equal(answer.prompts.has_mask, valid)
        assert ((answer.prompts.labels[valid] != ABSENT).any(dim=-1) | answer.prompts.has_box[valid]).all()


def test_object_without_a_pixel_gets_no_first_prompt_and_then_clicks_on_the_background():
    rounds = simulate(FakeModel(), make_truth(torch.zeros(1, 1, SIZE, SIZE, dtype=torch.bool)), sam_paper())
    assert (rounds[0].prompts.labels == ABSENT).all() and not rounds[0].prompts.has_box.any()
    assert (rounds[-1].prompts.labels[..., 1:] == BACKGROUND).all()


# Clicks


def logits_of(mask: Tensor) -> Tensor:
    return 20.0 * mask.float() - 10.0


def test_next_click_is_uniform_over_the_error_region():
    truth_mask, predicted = torch.zeros(2, 12, 12, dtype=torch.bool)
    truth_mask[2:8, 2:6] = True
    predicted[4:10, 3:7] = True
    error = truth_mask ^ predicted
    truth = make_truth(truth_mask.expand(10, 600, 12, 12))
    points, labels = next_click(logits_of(predicted).expand(10, 600, 12, 12), truth, seeded())
    places = Counter(map(tuple, points.flatten(0, 1).long().tolist()))
    pixels = [tuple(pixel) for pixel in error.nonzero().flip(-1).tolist()]
    assert set(places) <= set(pixels)
    assert chisquare([places[pixel] for pixel in pixels]).pvalue > 0.01
    x, y = points.long().unbind(-1)
    assert torch.equal(labels == FOREGROUND, truth_mask[y, x])
    assert torch.equal(labels == BACKGROUND, predicted[y, x] & ~truth_mask[y, x])


def test_click_is_foreground_where_the_object_was_missed_and_background_where_there_is_none():
    masks = squares(images=1, objects=2)
    predicted = torch.stack([torch.zeros(SIZE, SIZE), torch.ones(SIZE, SIZE)])[None] > 0
    points, labels = next_click(logits_of(predicted), make_truth(masks), seeded())
    assert labels.tolist() == [[FOREGROUND, BACKGROUND]]
    (x0, y0), (x1, y1) = points[0].long().tolist()
    assert masks[0, 0, y0, x0] and not masks[0, 1, y1, x1]


def test_error_region_is_taken_at_the_frames_resolution():
    low_res = torch.randn(1, 1, SIZE // 4, SIZE // 4)
    upsampled = F.interpolate(low_res, size=(SIZE, SIZE), mode="bilinear", align_corners=False) > 0
    truth = upsampled.clone()
    truth[0, 0, 9, 17] = ~truth[0, 0, 9, 17]
    points, labels = next_click(low_res, make_truth(truth), seeded())
    assert points.tolist() == [[[17, 9]]]
    assert labels.item() == (FOREGROUND if truth[0, 0, 9, 17] else BACKGROUND)


def test_without_an_error_the_click_is_uniform_over_the_background():
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[0, 2:4] = mask[3, 1] = mask[5, :] = False
    truth = make_truth(mask.expand(10, 300, 6, 6))
    points, labels = next_click(logits_of(truth.masks), truth, seeded())
    assert (labels == BACKGROUND).all()
    places = Counter(map(tuple, points.flatten(0, 1).long().tolist()))
    pixels = [tuple(pixel) for pixel in (~mask).nonzero().flip(-1).tolist()]
    assert set(places) <= set(pixels)
    assert chisquare([places[pixel] for pixel in pixels]).pvalue > 0.01


def test_without_an_error_and_without_background_there_is_no_click():
    truth = make_truth(torch.ones(1, 1, 6, 6, dtype=torch.bool))
    _, labels = next_click(logits_of(truth.masks), truth, seeded())
    assert labels.item() == ABSENT


@pytest.mark.parametrize("predicts_everything", [True, False])
def test_clicks_fall_inside_the_image_and_never_on_its_padding(predicts_everything):
    inside = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    inside[0, :, :20], inside[1, :, :, :24] = True, True
    masks = squares(images=2, objects=300) & inside
    predicted = torch.ones_like(masks) if predicts_everything else masks
    points, labels = next_click(logits_of(predicted), make_truth(masks, inside=inside), seeded())
    assert (labels == BACKGROUND).all()
    assert points[0, :, 1].max() == 19 and points[0, :, 0].max() > 24
    assert points[1, :, 0].max() == 23 and points[1, :, 1].max() > 20
