from __future__ import annotations

import pytest

from sam_ft.prompts.policies import Clicks, Feedback, FirstPrompt, Rounds


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize(
    "policy, name",
    [
        (FirstPrompt, "point_probability"),
        (FirstPrompt, "mask_probability"),
        (FirstPrompt, "centre_probability"),
        (Clicks, "from_object_probability"),
        (Feedback, "mask_probability"),
    ],
)
def test_probability_outside_its_range_is_refused(policy, name, probability):
    with pytest.raises(ValueError, match=f"Expected `{name}` between 0 and 1, but got"):
        policy(**{name: probability})


def test_first_prompts_cannot_be_more_than_all():
    with pytest.raises(ValueError, match="to be 1 in sum at most, but got 0.7 and 0.4"):
        FirstPrompt(point_probability=0.7, mask_probability=0.4)


@pytest.mark.parametrize("counts", [{"num_clicks": -1}, {"num_mask_only": -1}, {"fewest_clicks": -1}])
def test_negative_counts_are_refused(counts):
    with pytest.raises(ValueError, match="of at least 0, but got"):
        Rounds(**counts)


def test_mask_only_rounds_before_clicks_need_clicks():
    with pytest.raises(ValueError, match="at most 1 mask-only round where there are no clicks, but got 2"):
        Rounds(num_clicks=0, num_mask_only=2)
    assert Rounds(num_clicks=0, num_mask_only=1).least_clicks == 0


def test_fewest_clicks_are_all_of_them_unless_given_and_never_more():
    assert Rounds(num_clicks=3).least_clicks == 3
    assert Rounds(num_clicks=3, fewest_clicks=0, num_mask_only=1).least_clicks == 0
    with pytest.raises(ValueError, match="Expected `fewest_clicks` of at most 3, `num_clicks`, but got 4"):
        Rounds(num_clicks=3, fewest_clicks=4)
    with pytest.raises(ValueError, match="at most 1 mask-only round where there are no clicks"):
        Rounds(num_clicks=3, fewest_clicks=0, num_mask_only=2)


def test_a_round_adds_at_least_one_click():
    with pytest.raises(ValueError, match="Expected `counts` to name at least one number"):
        Clicks(counts=())
    with pytest.raises(ValueError, match="of at least 1, but got 0"):
        Clicks(counts=(1, 0))
