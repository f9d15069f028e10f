from __future__ import annotations

import pytest
import torch

from sam_ft.losses.points import PointSampling, at_points


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_value_at_a_pixels_centre_is_the_pixels():
    maps = torch.randn(2, 4, 6)
    points = torch.tensor([[(2 + 0.5) / 6, (1 + 0.5) / 4], [(5 + 0.5) / 6, (3 + 0.5) / 4]]).expand(2, 2, 2)
    torch.testing.assert_close(at_points(maps, points), torch.stack([maps[:, 1, 2], maps[:, 3, 5]], dim=1))


def test_value_between_two_centres_is_their_mean():
    maps = torch.tensor([[[1.0, 3.0]]])
    torch.testing.assert_close(at_points(maps, torch.tensor([[[0.5, 0.5]]])), torch.tensor([[2.0]]))


def test_important_points_lie_where_the_model_is_unsure_and_the_others_anywhere():
    logits = torch.full((1, 32, 32), 9.0)
    logits[:, :, 16:18] = 0.0  # unsure in two columns: 1/16 of the points, 3/16 of those that may be kept
    points = PointSampling(num_points=4000, oversampling=3.0, importance=0.1).choose(logits, seeded())[0]
    assert points.shape == (4000, 2) and points.min() >= 0 and points.max() <= 1
    unsure = (points[:, 0] * 32 >= 15.5) & (points[:, 0] * 32 <= 18.5)
    assert unsure[:400].all()
    assert unsure[400:].float().mean().item() == pytest.approx(3 / 32, abs=0.01)


def test_without_importance_all_points_are_drawn_uniformly():
    points = PointSampling(num_points=500, importance=0.0).choose(torch.zeros(3, 8, 8), seeded())
    assert points.shape == (3, 500, 2)
    assert points.mean().item() == pytest.approx(0.5, abs=0.03)


def test_points_of_a_mask_do_not_depend_on_how_many_masks_there_are():
    logits, sampling = torch.randn(5, 8, 8), PointSampling(num_points=50)
    assert torch.equal(sampling.choose(logits, seeded())[:2], sampling.choose(logits[:2], seeded()))


@pytest.mark.parametrize("value", [{"oversampling": 0.5}, {"importance": 1.5}, {"num_points": 0}])
def test_numbers_out_of_their_range_are_refused(value):
    with pytest.raises(ValueError, match="Expected `"):
        PointSampling(**value)
