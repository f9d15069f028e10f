"""The presets' numbers, each from its source; what they make of them is tested with the simulation."""

from __future__ import annotations

import pytest

from sam_ft.prompts.box_noise import GaussianNoise, OutwardNoise, ShiftNoise, UniformNoise
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


def test_sam_paper_is_a_first_prompt_eight_clicks_and_two_rounds_on_the_mask_alone():
    preset = sam_paper()
    assert (preset.first.point_probability, preset.rounds.num_clicks, preset.rounds.num_mask_only) == (0.5, 8, 2)
    assert preset.ambiguous == ("point", "box")
    assert preset.first.box_noise == GaussianNoise(deviation=0.1, cap_px=20.0)
    assert preset.num_rounds == 11
    assert preset == InteractivePreset()


def test_sam2_has_seven_clicks_uniform_noise_and_no_round_on_the_mask_alone():
    preset = sam2()
    assert preset.num_rounds == 8 and preset.rounds.num_mask_only == 0
    assert preset.first.box_noise == UniformNoise(share=0.1, cap_px=20.0)
    assert preset.clicks.from_object_probability == 0.1 and preset.first.same_for_all


def test_medsam_is_one_round_with_an_enlarged_box():
    preset = medsam()
    assert (preset.first.point_probability, preset.num_rounds, preset.ambiguous) == (0.0, 1, ())
    assert preset.first.box_noise == OutwardNoise(share=None, cap_px=20.0)


def test_micro_sam_is_eight_rounds_of_pairs():
    preset = micro_sam()
    assert preset.num_rounds == 8 and preset.clicks.in_pairs
    assert preset.first.box_noise == OutwardNoise(share=0.025, cap_px=None)
    assert preset.feedback.mask_probability == 0.5


def test_sam_med2d_is_nine_rounds_that_replace_their_clicks():
    preset = sam_med2d()
    assert preset.num_rounds == 9 and preset.clicks.counts == (1, 3, 5, 9)
    assert preset.first.box_noise == ShiftNoise(share=0.5, cap_px=20.0) and preset.first.same_for_all
    assert not preset.feedback.keeps_prompts and not preset.feedback.as_probabilities
    assert sam_med2d(with_quirks=True).feedback.as_probabilities


def test_hq_is_one_round_with_an_exact_box_ten_points_or_a_mask():
    preset = hq()
    assert preset.first.point_probability == preset.first.mask_probability == pytest.approx(1 / 3)
    assert (preset.first.num_points, preset.num_rounds, preset.ambiguous) == (10, 1, ())
    assert preset.first.box_noise == GaussianNoise(deviation=0.0)


def test_box_only_is_one_round_with_a_box():
    preset = box_only()
    assert (preset.first.point_probability, preset.num_rounds, preset.ambiguous) == (0.0, 1, ("box",))


def test_points_only_and_mask_refine_have_no_boxes():
    assert points_only().first.point_probability == 1
    assert mask_refine().first.mask_probability == 1


def test_unknown_kind_of_prompt_is_refused():
    with pytest.raises(ValueError, match="some of point, box, mask, clicks, but got 'text'"):
        InteractivePreset(ambiguous=("text",))


def test_mixture_has_the_rounds_of_its_longest_preset_that_is_ever_drawn():
    presets = {"short": box_only(), "long": sam_paper()}
    assert Mixture(presets, {"short": 1, "long": 1}).num_rounds == 11
    assert Mixture(presets, {"short": 1, "long": 0}).num_rounds == 1


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"short": 1}, "Expected a weight for each of long, short, but got weights for short"),
        ({"short": 0, "long": 0}, "one above it"),
        ({"short": -1, "long": 2}, "one above it"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        Mixture({"short": box_only(), "long": sam_paper()}, weights)
