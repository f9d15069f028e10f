from __future__ import annotations

import pytest

from sam_ft.prompts.presets import InteractivePreset, box_only, sam_paper
from sam_ft.prompts.sampling import BoxNoise


def test_sam_paper_is_a_first_prompt_eight_clicks_and_two_rounds_on_the_mask_alone():
    preset = sam_paper()
    assert (preset.point_probability, preset.num_clicks, preset.num_mask_only) == (0.5, 8, 2)
    assert preset.box_is_ambiguous
    assert preset.box_noise == BoxNoise(deviation=0.1, cap_px=20.0)
    assert preset.num_rounds == 11


def test_box_only_is_one_round_with_a_box():
    preset = box_only()
    assert (preset.point_probability, preset.num_rounds) == (0.0, 1)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["point_probability", "centre_probability"])
def test_probability_outside_its_range_is_refused(name, probability):
    with pytest.raises(ValueError, match=f"Expected `{name}` between 0 and 1, but got"):
        InteractivePreset(**{name: probability})


@pytest.mark.parametrize("counts", [{"num_clicks": -1}, {"num_mask_only": -1}, {"fewest_clicks": -1}])
def test_negative_counts_are_refused(counts):
    with pytest.raises(ValueError, match="of at least 0, but got"):
        InteractivePreset(**counts)


def test_mask_only_rounds_before_clicks_need_clicks():
    with pytest.raises(ValueError, match="at most 1 mask-only round where there are no clicks, but got 2"):
        InteractivePreset(num_clicks=0, num_mask_only=2)
    assert InteractivePreset(num_clicks=0, num_mask_only=1).num_rounds == 2


def test_fewest_clicks_are_all_of_them_unless_given_and_never_more():
    assert InteractivePreset(num_clicks=3).least_clicks == 3
    assert InteractivePreset(num_clicks=3, fewest_clicks=0, num_mask_only=1).least_clicks == 0
    with pytest.raises(ValueError, match="Expected `fewest_clicks` of at most 3, `num_clicks`, but got 4"):
        InteractivePreset(num_clicks=3, fewest_clicks=4)
    with pytest.raises(ValueError, match="at most 1 mask-only round where there are no clicks"):
        InteractivePreset(num_clicks=3, fewest_clicks=0, num_mask_only=2)
