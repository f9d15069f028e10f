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

from sam_ft.prompts.policies import Rounds
from sam_ft.prompts.presets import (
    InteractivePreset,
    Mixture,
    box_only,
    hq,
    mask_refine,
    medsam,
    micro_sam,
    points_only,
    sam2,
    sam_med2d,
    sam_paper,
)
from sam_ft.prompts.simulation import Round, chosen_logits, plan_rounds, simulate_rounds
from sam_ft.prompts.truth import Truth
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, MaskPrediction, Prompts

SIZE = 32


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
        given = prompts.masks if prompts.labels is None else prompts.labels
        batch, objects = given.shape[:2]
        tokens = {True: slice(1, 4), False: slice(0, 1), None: slice(0, 4)}[multimask_output]
        noise = torch.randn(
            batch, objects, 4, SIZE // 4, SIZE // 4, generator=torch.Generator().manual_seed(len(self.calls))
        )
        ious = torch.tensor(self.confidence).expand(batch, objects, 4)
        prediction = MaskPrediction(self.scale * noise[:, :, tokens], self.scale * ious[:, :, tokens])
        self.calls.append((prompts, multimask_output))
        self.predictions.append(prediction)
        return prediction


class PlacewiseModel(FakeModel):
    """Answers for each object by its place alone, whatever else is in the batch."""

    def __call__(self, prompts: Prompts, multimask_output: bool | None) -> MaskPrediction:
        batch, objects = (prompts.masks if prompts.labels is None else prompts.labels).shape[:2]
        tokens = {True: slice(1, 4), False: slice(0, 1), None: slice(0, 4)}[multimask_output]
        noise = torch.randn(8, 8, 4, SIZE // 4, SIZE // 4, generator=torch.Generator().manual_seed(0))
        ious = torch.tensor(self.confidence).expand(batch, objects, 4)
        return MaskPrediction(noise[:batch, :objects, tokens], ious[:, :, tokens])


def simulate(model: Callable, truth: Truth, preset: InteractivePreset, *, seed: int = 0) -> list[Round]:
    return list(simulate_rounds(model, truth, preset, generator=torch.Generator().manual_seed(seed)))


# First answers


@pytest.mark.parametrize("box_is_ambiguous, expected", [(True, True), (False, None)])
def test_a_lone_box_is_answered_by_three_masks_if_the_preset_says_so(box_is_ambiguous, expected, make_truth):
    model = FakeModel()
    preset = sam_paper(box_is_ambiguous=box_is_ambiguous)
    simulate(model, make_truth(squares(images=4, objects=8)), preset)
    prompts, multimask_output = model.calls[0]
    assert multimask_output is expected
    assert 0 < prompts.has_box.sum() < prompts.has_box.numel()


def test_candidates_are_three_masks_for_points_and_one_for_unambiguous_boxes_of_the_same_call(make_truth):
    first = simulate(FakeModel(), make_truth(squares(4, 8)), sam_paper(box_is_ambiguous=False))[0]
    for has_box, candidates in zip(first.prompts.has_box.flatten(), first.candidates.flatten(0, 1), strict=True):
        assert candidates.tolist() == ([True, False, False, False] if has_box else [False, True, True, True])


# The plan of rounds


def test_paper_has_eleven_rounds_of_which_the_last_is_on_the_mask_alone(seeded):
    for seed in range(20):
        plan = plan_rounds(sam_paper().rounds, seeded(seed))
        assert 1 + len(plan) == 11
        assert plan.count(True) == 8 and plan[-1] is False


def test_other_mask_only_round_is_uniform_over_the_eight_places_before_a_click(seeded):
    generator = seeded()
    places = Counter(plan_rounds(sam_paper().rounds, generator).index(False) for _ in range(4000))
    assert set(places) == set(range(8))
    assert chisquare([places[place] for place in range(8)]).pvalue > 0.01


def test_other_mask_only_round_of_sam_med2d_is_uniform_over_the_six_places_after_a_click(seeded):
    """Its code draws an index from 1 to 6 of the eight rounds after the first; the last is on the mask alone too."""
    generator = seeded()
    plans = [plan_rounds(sam_med2d().rounds, generator) for _ in range(4000)]
    assert all(len(plan) == 8 and plan.count(False) == 2 and not plan[-1] for plan in plans)
    places = Counter(plan.index(False) for plan in plans)
    assert set(places) == set(range(1, 7))
    assert chisquare([places[place] for place in range(1, 7)]).pvalue > 0.01


@pytest.mark.parametrize("clicks, mask_only", [(0, 0), (0, 1), (3, 0), (3, 1), (2, 4)])
def test_plan_has_as_many_rounds_of_each_kind_as_the_preset_says(clicks, mask_only, make_truth, seeded):
    preset = sam_paper(num_clicks=clicks, num_mask_only=mask_only)
    plan = plan_rounds(preset.rounds, seeded())
    assert (plan.count(True), plan.count(False)) == (clicks, mask_only)
    assert preset.num_rounds == len(simulate(FakeModel(), make_truth(squares()), preset))


def test_drawn_number_of_clicks_is_uniform_from_the_fewest_to_the_most(seeded):
    rounds, generator = Rounds(num_clicks=4, fewest_clicks=1, num_mask_only=1), seeded()
    plans = [plan_rounds(rounds, generator) for _ in range(4000)]
    counts = Counter(plan.count(True) for plan in plans)
    assert set(counts) == {1, 2, 3, 4}
    assert chisquare([counts[count] for count in (1, 2, 3, 4)]).pvalue > 0.01
    assert all(plan.count(False) == 1 and plan[-1] is False for plan in plans)


def test_box_only_asks_once_with_boxes_and_without_points(make_truth):
    model = FakeModel()
    (answer,) = simulate(model, make_truth(squares()), box_only())
    assert (answer.prompts.labels == ABSENT).all() and answer.prompts.has_box.all()
    assert answer.prompts.masks is None


# Rounds


def test_points_accumulate_and_mask_only_rounds_add_none(make_truth):
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


def test_boxes_stay_in_every_round(make_truth):
    rounds = simulate(FakeModel(), make_truth(squares()), sam_paper())
    assert rounds[0].prompts.has_box.any()
    for answer in rounds:
        assert torch.equal(answer.prompts.boxes, rounds[0].prompts.boxes)
        assert torch.equal(answer.prompts.has_box, rounds[0].prompts.has_box)


def test_only_the_first_round_asks_for_several_masks(make_truth):
    model = FakeModel()
    rounds = simulate(model, make_truth(squares()), sam_paper())
    assert [choice for _, choice in model.calls] == [True] + [False] * 10
    assert all(answer.candidates.all() for answer in rounds)
    assert [answer.candidates.shape[-1] for answer in rounds] == [3] + [1] * 10


def test_padded_objects_do_not_make_a_call_compute_all_four_masks(make_truth):
    valid = torch.tensor([[True, True, False], [True, False, False]])
    for preset, first in ((sam_paper(), True), (sam_paper(point_probability=0.0, box_is_ambiguous=False), False)):
        model = FakeModel()
        simulate(model, make_truth(squares(), valid=valid), preset)
        assert [choice for _, choice in model.calls] == [first] + [False] * 10


def test_mask_prompt_is_the_most_confident_answer_of_the_round_before(make_truth):
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


def test_gradient_flows_through_each_prediction_but_not_from_round_to_round(make_truth):
    model = FakeModel()
    rounds = simulate(model, make_truth(squares()), sam_paper())
    for answer in rounds:
        assert answer.prediction.low_res_logits.requires_grad
        for prompt in (answer.prompts.points, answer.prompts.boxes, answer.prompts.masks):
            assert prompt is None or not prompt.requires_grad
    (gradient,) = torch.autograd.grad(rounds[3].prediction.low_res_logits.sum(), model.scale)
    assert gradient != 0


def test_gradients_are_as_the_caller_left_them_while_a_round_is_used(make_truth, seeded):
    for _ in simulate_rounds(FakeModel(), make_truth(squares()), sam_paper(), generator=seeded()):
        assert torch.is_grad_enabled()


def test_same_seed_gives_the_same_rounds_and_another_seed_others(make_truth):
    first, again, other = (simulate(FakeModel(), make_truth(squares()), sam_paper(), seed=s) for s in (5, 5, 6))
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.prompts.points, two.prompts.points)
        assert torch.equal(one.prompts.labels, two.prompts.labels)
        assert torch.equal(one.prompts.boxes, two.prompts.boxes)
    assert not torch.equal(first[-1].prompts.points, other[-1].prompts.points)


def test_all_randomness_comes_from_the_generator(make_truth):
    torch.manual_seed(1)
    first = simulate(FakeModel(), make_truth(squares()), sam_paper())
    torch.manual_seed(2)
    again = simulate(FakeModel(), make_truth(squares()), sam_paper())
    assert torch.equal(first[-1].prompts.points, again[-1].prompts.points)


def test_padded_objects_get_absent_prompts_in_every_round(make_truth):
    valid = torch.tensor([[True, False, True], [False, True, False]])
    masks = squares()
    masks[1, 2] = False  # padding is empty
    for answer in simulate(FakeModel(), make_truth(masks, valid=valid), sam_paper()):
        assert (answer.prompts.labels[~valid] == ABSENT).all()
        assert not answer.prompts.has_box[~valid].any()
        assert answer.prompts.has_mask is None or torch.equal(answer.prompts.has_mask, valid)
        assert ((answer.prompts.labels[valid] != ABSENT).any(dim=-1) | answer.prompts.has_box[valid]).all()


def test_object_without_a_pixel_gets_no_first_prompt_and_then_clicks_on_the_background(make_truth):
    rounds = simulate(FakeModel(), make_truth(torch.zeros(1, 1, SIZE, SIZE, dtype=torch.bool)), sam_paper())
    assert (rounds[0].prompts.labels == ABSENT).all() and not rounds[0].prompts.has_box.any()
    assert (rounds[-1].prompts.labels[..., 1:] == BACKGROUND).all()


# The other presets


def test_sam2_answers_a_box_with_one_mask_and_a_point_with_three(make_truth):
    asked = set()
    for seed in range(8):
        model = FakeModel()
        rounds = simulate(model, make_truth(squares()), sam2(), seed=seed)
        is_box = bool(rounds[0].prompts.has_box.all())
        assert is_box or not rounds[0].prompts.has_box.any()
        assert [choice for _, choice in model.calls] == [not is_box] + [False] * 7
        asked.add(is_box)
    assert asked == {True, False}


def test_medsam_asks_once_with_a_box_that_holds_the_object_and_expects_one_mask(make_truth):
    model = FakeModel()
    (answer,) = simulate(model, make_truth(squares()), medsam())
    assert [choice for _, choice in model.calls] == [False]
    assert answer.prompts.has_box.all() and (answer.prompts.labels == ABSENT).all()
    assert (answer.prompts.boxes[:, 0, :2] <= torch.tensor([6, 4])).all()
    assert (answer.prompts.boxes[:, 0, 2:] >= torch.tensor([19, 13])).all()


def test_micro_sam_adds_pairs_of_clicks_and_feeds_the_mask_back_half_of_the_time(make_truth):
    fed = []
    for seed in range(40):
        rounds = simulate(FakeModel(), make_truth(squares(1, 1)), micro_sam(), seed=seed)
        assert [answer.prompts.labels.shape[-1] for answer in rounds] == [1, 3, 5, 7, 9, 11, 13, 15]
        assert rounds[-1].prompts.labels[0, 0, 1:].tolist() == [FOREGROUND, BACKGROUND] * 7
        fed += [answer.prompts.masks is not None for answer in rounds[1:]]
    assert binomtest(sum(fed), len(fed), 0.5).pvalue > 0.01


def test_sam_med2d_replaces_the_clicks_and_asks_for_three_masks_in_every_round(make_truth):
    model = FakeModel()
    rounds = simulate(model, make_truth(squares()), sam_med2d())
    assert [choice for _, choice in model.calls] == [True] * 9
    mask_only = [answer.prompts.points is None for answer in rounds]
    assert mask_only.count(True) == 2 and mask_only[-1] and not mask_only[0]
    for previous, answer in pairwise(rounds):
        assert answer.prompts.boxes is None
        assert answer.prompts.points is None or answer.prompts.points.shape[2] in (1, 3, 5, 9)
        assert torch.equal(answer.prompts.masks, previous.prediction.low_res_logits[:, :, 1])


def test_sam_med2d_begins_with_a_point_or_a_box_for_the_whole_batch(make_truth):
    with_box = []
    for seed in range(200):
        first = simulate(FakeModel(), make_truth(squares()), sam_med2d(), seed=seed)[0].prompts
        assert first.has_box.all() or not first.has_box.any()
        with_box.append(bool(first.has_box.any()))
    assert binomtest(sum(with_box), len(with_box), 0.5).pvalue > 0.01


def test_sam_med2d_with_its_quirks_feeds_back_probabilities(make_truth):
    rounds = simulate(FakeModel(), make_truth(squares()), sam_med2d(with_quirks=True))
    assert torch.equal(rounds[1].prompts.masks, rounds[0].prediction.low_res_logits[:, :, 1].sigmoid())


def test_points_only_never_shows_a_box(make_truth):
    rounds = simulate(FakeModel(), make_truth(squares()), points_only(num_clicks=2))
    assert len(rounds) == 3
    assert not any(answer.prompts.has_box.any() for answer in rounds)
    assert (rounds[0].prompts.labels == FOREGROUND).all()


def test_mask_refine_begins_with_a_mask_and_goes_on_with_clicks(make_truth):
    model = FakeModel()
    rounds = simulate(model, make_truth(squares()), mask_refine(num_clicks=2, fewest_clicks=2))
    assert rounds[0].prompts.has_mask.all() and (rounds[0].prompts.labels == ABSENT).all()
    assert [choice for _, choice in model.calls] == [False] * 3
    assert torch.equal(rounds[1].prompts.masks, rounds[0].prediction.low_res_logits[:, :, 0])


def test_a_mixture_is_one_of_its_presets_for_each_batch_as_often_as_its_weights_say(make_truth):
    mixture = Mixture({"one": box_only(), "three": points_only(num_clicks=2)}, {"one": 1, "three": 3})
    lengths = Counter(len(simulate(FakeModel(), make_truth(squares(1, 1)), mixture, seed=seed)) for seed in range(400))
    assert set(lengths) == {1, 3}
    assert binomtest(lengths[3], 400, 0.75).pvalue > 0.01


@pytest.mark.parametrize(
    "preset",
    [
        sam_paper(),
        sam_paper(num_clicks=0, num_mask_only=0),
        micro_sam(),
        sam_med2d(),
        hq(),
        Mixture({"one": box_only(), "three": points_only(num_clicks=2)}, {"one": 1, "three": 3}),
    ],
)
def test_a_preset_knows_the_most_points_of_an_object(preset, make_truth):
    rounds = [answer for seed in range(8) for answer in simulate(FakeModel(), make_truth(squares()), preset, seed=seed)]
    counts = [0 if answer.prompts.points is None else answer.prompts.points.shape[2] for answer in rounds]
    assert max(counts) == preset.num_points


@pytest.mark.parametrize(
    "preset", [sam_paper(), sam2(), medsam(), micro_sam(), sam_med2d(), box_only(), points_only(), mask_refine()]
)
def test_padding_changes_no_ones_number_of_rounds_and_gets_no_prompts(preset, make_truth):
    valid = torch.tensor([[True, False, True], [False, True, False]])
    rounds = simulate(FakeModel(), make_truth(squares(), valid=valid), preset)
    assert 1 <= len(rounds) <= preset.num_rounds
    for answer in rounds:
        prompts = answer.prompts
        assert prompts.labels is None or (prompts.labels[~valid] == ABSENT).all()
        assert prompts.has_box is None or not prompts.has_box[~valid].any()
        assert prompts.has_mask is None or not prompts.has_mask[~valid].any()


@pytest.mark.parametrize(
    "preset", [sam_paper(centre_probability=0.5), sam2(), medsam(), micro_sam(), mask_refine(fewest_clicks=3)]
)
def test_padding_changes_no_prompt_of_the_others(preset, make_truth):
    masks = squares(images=2, objects=2)
    padded = torch.zeros(3, 4, SIZE, SIZE, dtype=torch.bool)
    padded[:2, :2] = masks
    valid = torch.zeros(3, 4, dtype=torch.bool)
    valid[:2, :2] = True
    alone = simulate(PlacewiseModel(), make_truth(masks), preset)
    among = simulate(PlacewiseModel(), make_truth(padded, valid=valid), preset)
    for one, other in zip(alone, among, strict=True):
        for name in ("points", "labels", "boxes", "has_box", "masks", "has_mask"):
            given, given_padded = getattr(one.prompts, name), getattr(other.prompts, name)
            assert (given is None) == (given_padded is None)
            assert given is None or torch.equal(given, given_padded[:2, :2]), name


@pytest.mark.parametrize("preset", [sam2(), micro_sam(), sam_med2d(), mask_refine()])
def test_every_preset_draws_from_the_generator_alone(preset, make_truth):
    torch.manual_seed(1)
    first = simulate(FakeModel(), make_truth(squares()), preset)
    torch.manual_seed(2)
    again = simulate(FakeModel(), make_truth(squares()), preset)
    assert len(first) == len(again)
    for one, two in zip(first, again, strict=True):
        assert one.prompts.points is None or torch.equal(one.prompts.points, two.prompts.points)
        assert one.prompts.masks is None or torch.equal(one.prompts.masks, two.prompts.masks)
