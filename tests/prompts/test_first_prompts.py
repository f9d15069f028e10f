"""The prompt that a simulated person begins with."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import binomtest, chisquare

from sam_ft.prompts.box_noise import GaussianNoise
from sam_ft.prompts.first_prompts import first_prompts
from sam_ft.prompts.policies import FirstPrompt
from sam_ft.prompts.sampling import low_resolution
from sam_ft.types import ABSENT, FOREGROUND

SIZE = 32
ONE_POINT = FirstPrompt(point_probability=1.0)


def test_first_prompt_is_a_point_or_a_box_with_equal_chance(make_truth, seeded):
    truth = make_truth(torch.ones(50, 80, 8, 8, dtype=torch.bool))
    prompts, _ = first_prompts(truth, FirstPrompt(), seeded())
    is_point = (prompts.labels == FOREGROUND).squeeze(-1)
    assert torch.equal(is_point, ~prompts.has_box)  # one of the two, never both
    assert binomtest(int(is_point.sum()), 4000, 0.5).pvalue > 0.01


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_first_prompt_is_a_point_as_often_as_the_preset_says(probability, make_truth, seeded):
    truth = make_truth(torch.ones(50, 80, 8, 8, dtype=torch.bool))
    prompts, _ = first_prompts(truth, FirstPrompt(point_probability=probability), seeded())
    points = int((prompts.labels == FOREGROUND).sum())
    assert binomtest(points, 4000, probability).pvalue > 0.01


def test_first_point_is_uniform_over_the_object(make_truth, seeded):
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[1, 2] = mask[3, 1:7] = mask[6:, 4:6] = True
    truth = make_truth(mask.expand(10, 400, 8, 8))
    prompts, _ = first_prompts(truth, ONE_POINT, seeded())
    places = Counter(map(tuple, prompts.points.flatten(0, 2).long().tolist()))
    pixels = [tuple(pixel) for pixel in mask.nonzero().flip(-1).tolist()]
    assert set(places) <= set(pixels)
    assert chisquare([places[pixel] for pixel in pixels]).pvalue > 0.01


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_first_point_is_the_centre_as_often_as_the_preset_says(probability, make_truth, seeded):
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[1:62, 3:54] = True  # a band of pixels is as deep as the deepest; the first of them counts
    truth = make_truth(mask.expand(10, 400, 64, 64))
    preset = FirstPrompt(point_probability=0.5, centre_probability=probability)
    prompts, _ = first_prompts(truth, preset, seeded())
    points = prompts.points[prompts.labels == FOREGROUND]
    centres = int((points == torch.tensor([28.0, 26.0])).all(dim=-1).sum())
    assert binomtest(len(points), 4000, 0.5).pvalue > 0.01
    assert centres == len(points) if probability == 1 else binomtest(centres, len(points), probability).pvalue > 0.01


def test_several_first_points_are_drawn_apart_and_lie_on_the_object(make_truth, seeded):
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[3:9, 4:20] = True
    truth = make_truth(mask.expand(1, 50, SIZE, SIZE))
    prompts, kinds = first_prompts(truth, FirstPrompt(point_probability=0.5, num_points=10), seeded())
    assert prompts.points.shape == (1, 50, 10, 2)
    assert torch.equal((prompts.labels == FOREGROUND).sum(dim=-1), 10 * kinds["point"])
    assert torch.equal((prompts.labels == ABSENT).sum(dim=-1), 10 * ~kinds["point"])
    x, y = prompts.points[kinds["point"]].long().unbind(-1)
    assert mask[y, x].all()
    assert all(len(set(map(tuple, points))) > 5 for points in torch.stack([x, y], dim=-1).tolist())


def test_of_several_first_points_the_first_is_the_centre_where_the_preset_says_so(make_truth, seeded):
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[3:10, 4:11] = True
    preset = FirstPrompt(point_probability=1.0, centre_probability=1.0, num_points=3)
    prompts, _ = first_prompts(make_truth(mask.expand(1, 20, SIZE, SIZE)), preset, seeded())
    assert (prompts.points[:, :, 0] == torch.tensor([7.0, 6.0])).all()
    assert prompts.points[:, :, 1:].std(dim=(0, 1, 2)).min() > 1


def test_no_first_point_is_no_number_of_them():
    with pytest.raises(ValueError, match="`num_points` to be a whole number of at least 1, but got 0"):
        FirstPrompt(num_points=0)


def test_first_box_is_the_objects_with_the_presets_noise(make_truth, seeded):
    masks = torch.zeros(1, 4000, 64, 64, dtype=torch.bool)
    masks[..., 20:41, 24:35] = True  # rows 20 to 40, columns 24 to 34
    clean = torch.tensor([24.0, 20.0, 34.0, 40.0])
    quiet = FirstPrompt(point_probability=0.0, box_noise=GaussianNoise(deviation=0.0))
    prompts, _ = first_prompts(make_truth(masks[:, :1]), quiet, seeded())
    assert torch.equal(prompts.boxes[0, 0], clean)
    noisy = FirstPrompt(point_probability=0.0, box_noise=GaussianNoise(cap_px=1e3))
    prompts, _ = first_prompts(make_truth(masks), noisy, seeded())
    assert (prompts.boxes[0] - clean).std(dim=0).tolist() == pytest.approx([1, 2, 1, 2], rel=0.05)


def test_first_box_stays_in_the_image_without_its_padding(make_truth, seeded):
    masks = torch.zeros(2, 400, SIZE, SIZE, dtype=torch.bool)
    masks[..., 2:12, 3:20] = True
    inside = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    inside[0, :, :12, :] = inside[1, :, :, :21] = True  # a wide image, a high one
    preset = FirstPrompt(point_probability=0.0, box_noise=GaussianNoise(deviation=0.5, cap_px=1e6))
    prompts, _ = first_prompts(make_truth(masks, inside=inside), preset, seeded())
    assert prompts.boxes[0, :, 3].max() == 11 and prompts.boxes[0, :, 2].max() > 20
    assert prompts.boxes[1, :, 2].max() == 20 and prompts.boxes[1, :, 3].max() > 12


def test_first_prompt_is_a_mask_as_often_as_the_policy_says(make_truth, seeded):
    truth = make_truth(torch.ones(50, 80, 8, 8, dtype=torch.bool))
    policy = FirstPrompt(point_probability=0.2, mask_probability=0.3)
    prompts, kinds = first_prompts(truth, policy, seeded())
    assert torch.equal(kinds["mask"], prompts.has_mask) and torch.equal(kinds["box"], prompts.has_box)
    assert torch.stack(list(kinds.values())).sum(dim=0).eq(1).all()
    for kind, probability in (("point", 0.2), ("mask", 0.3), ("box", 0.5)):
        assert binomtest(int(kinds[kind].sum()), 4000, probability).pvalue > 0.01


def test_first_mask_is_the_object_spoilt_at_the_size_of_mask_prompts(make_truth, seeded):
    masks = torch.zeros(1, 200, SIZE, SIZE, dtype=torch.bool)
    masks[..., 4:24, 8:28] = True
    prompts, _ = first_prompts(make_truth(masks), FirstPrompt(0.0, mask_probability=1.0), seeded())
    truth = low_resolution(masks, SIZE // 4) > 0.5
    given = prompts.masks > 0
    iou = (given & truth).sum(dim=(-2, -1)) / (given | truth).sum(dim=(-2, -1))
    assert prompts.masks.shape == (1, 200, SIZE // 4, SIZE // 4)
    assert iou.min() >= 0.5 and iou.mean() < 0.98 and iou.std() > 0.01
    assert (prompts.labels == ABSENT).all() and not prompts.has_box.any()


def test_first_prompts_are_without_a_mask_if_the_policy_has_none(make_truth, seeded):
    prompts, _ = first_prompts(make_truth(torch.ones(1, 2, 8, 8, dtype=torch.bool)), FirstPrompt(), seeded())
    assert prompts.masks is None and prompts.has_mask is None


def test_one_draw_decides_for_the_whole_batch_if_the_policy_says_so(make_truth, seeded):
    truth, policy, generator = (
        make_truth(torch.ones(2, 6, 8, 8, dtype=torch.bool)),
        FirstPrompt(same_for_all=True),
        seeded(),
    )
    counts = Counter(int(first_prompts(truth, policy, generator)[1]["point"].sum()) for _ in range(400))
    assert set(counts) == {0, 12}
    assert binomtest(counts[12], 400, 0.5).pvalue > 0.01


def test_padded_and_empty_objects_get_no_first_prompt(make_truth, seeded):
    masks = torch.ones(1, 3, 8, 8, dtype=torch.bool)
    masks[0, 1] = False
    policy = FirstPrompt(point_probability=0.3, mask_probability=0.3)
    _, kinds = first_prompts(make_truth(masks, valid=torch.tensor([[True, True, False]])), policy, seeded())
    assert torch.stack(list(kinds.values())).any(dim=0).tolist() == [[True, False, False]]
