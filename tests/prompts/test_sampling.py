"""The distributions of single prompts. Seeds are fixed, so that a test of chance passes always or never."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare, kstest, norm
from torch.nn import functional as F

from sam_ft.prompts.sampling import BoxNoise, jittered_box, low_resolution, uniform_point


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ragged_region() -> torch.Tensor:
    """(13, 17) with rows of very different lengths, holes and empty rows and columns."""
    region = torch.zeros(13, 17, dtype=torch.bool)
    region[2, 3] = True
    region[4, :16] = True
    region[5, ::3] = True
    region[9:12, 8:14] = True
    region[10, 9:12] = False
    return region


def test_point_is_uniform_over_the_pixels_of_its_region():
    region = ragged_region()
    points, found = uniform_point(region.expand(20_000, 13, 17), seeded())
    x, y = points.long().unbind(-1)
    counts = torch.zeros(13, 17, dtype=torch.int64).index_put((y, x), torch.ones(1, dtype=torch.int64), accumulate=True)
    assert found.all()
    assert counts[~region].sum() == 0
    assert chisquare(counts[region].numpy()).pvalue > 0.01


def test_points_of_different_objects_are_drawn_apart():
    regions = torch.ones(1, 2, 64, 64, dtype=torch.bool).expand(2000, -1, -1, -1)
    points, _ = uniform_point(regions, seeded())
    assert torch.corrcoef(points.flatten(1).T)[0, 2:].abs().max() < 0.08
    assert (points[:, 0] != points[:, 1]).any(dim=-1).float().mean() > 0.99


def test_point_is_x_before_y_and_lies_in_each_objects_own_region():
    regions = torch.zeros(2, 3, 8, 10, dtype=torch.bool)
    pixels = {(0, 0): (9, 7), (0, 1): (0, 0), (0, 2): (4, 6), (1, 0): (3, 1), (1, 1): (0, 7), (1, 2): (9, 0)}
    for (b, n), (x, y) in pixels.items():
        regions[b, n, y, x] = True
    points, found = uniform_point(regions, seeded())
    assert found.all()
    for (b, n), pixel in pixels.items():
        assert tuple(points[b, n].tolist()) == pixel


def test_empty_region_has_no_point():
    regions = torch.zeros(3, 5, 5, dtype=torch.bool)
    regions[1, 2, 3] = True
    points, found = uniform_point(regions, seeded())
    assert found.tolist() == [False, True, False]
    assert points.tolist() == [[0, 0], [3, 2], [0, 0]]


def test_largest_and_smallest_draws_stay_in_the_region(monkeypatch):
    region = ragged_region()
    pixels = region.nonzero().flip(-1).tolist()  # (x, y) in raster order
    for value, pixel in ((0.0, pixels[0]), (1 - 2**-53, pixels[-1])):
        monkeypatch.setattr(torch, "rand", lambda *args, value=value, **kw: torch.tensor(value, dtype=torch.float64))
        points, _ = uniform_point(region, seeded())
        assert points.tolist() == pixel


def test_box_noise_is_a_tenth_of_the_width_for_x_and_of_the_height_for_y():
    box = torch.tensor([400.0, 300.0, 500.0, 460.0])  # 100 wide, 160 high
    moved = jittered_box(box.expand(20_000, 4), BoxNoise(), image_size=1024, generator=seeded()) - box
    for coordinate, deviation in ((0, 10.0), (1, 16.0), (2, 10.0), (3, 16.0)):
        noise = moved[:, coordinate]
        inner = noise[noise.abs() < 20].numpy()
        low, high = norm.cdf(-20, scale=deviation), norm.cdf(20, scale=deviation)
        truncated = kstest(inner, lambda x, s=deviation, a=low, b=high: (norm.cdf(x, scale=s) - a) / (b - a))
        assert truncated.pvalue > 0.01
        capped = (noise.abs() == 20).float().mean().item()
        assert capped == pytest.approx(2 * low, abs=0.01)


def test_box_noise_has_its_deviation_where_the_cap_does_not_reach():
    box = torch.tensor([400.0, 300.0, 440.0, 360.0])  # 40 wide, 60 high: 20 px are 5 and 3.3 deviations
    moved = jittered_box(box.expand(20_000, 4), BoxNoise(), image_size=1024, generator=seeded()) - box
    assert moved.std(dim=0).tolist() == pytest.approx([4, 6, 4, 6], rel=0.02)
    assert moved.mean(dim=0).abs().max() < 0.15
    assert torch.corrcoef(moved.T).fill_diagonal_(0).abs().max() < 0.03


@pytest.mark.parametrize("image_size, cap", [(1024, 20.0), (512, 10.0), (256, 5.0)])
def test_cap_is_20_px_at_1024_and_scales_with_the_image(image_size, cap):
    box = torch.tensor([0.2, 0.2, 0.8, 0.8]) * image_size  # 0.06 image_size deviation: mostly capped
    moved = jittered_box(box.expand(5000, 4), BoxNoise(), image_size=image_size, generator=seeded()) - box
    assert moved.abs().max().item() == pytest.approx(cap, rel=1e-4)
    assert (moved.abs() > 0.999 * cap).float().mean() > 0.6


def test_box_that_noise_turns_inside_out_falls_back_to_the_clean_one():
    box = torch.tensor([50.0, 50.0, 52.0, 90.0])
    moved = jittered_box(box.expand(2000, 4), BoxNoise(deviation=2.0), image_size=1024, generator=seeded())
    is_clean = (moved == box).all(dim=-1)
    assert (moved[:, 2:] > moved[:, :2]).all()
    assert 0.2 < is_clean.float().mean() < 0.9


def test_box_of_a_single_pixel_stays_as_it_is():
    box = torch.tensor([[5.0, 6.0, 5.0, 6.0]])
    assert torch.equal(jittered_box(box, BoxNoise(), image_size=64, generator=seeded()), box)


def test_noisy_box_stays_in_the_frame():
    box = torch.tensor([0.0, 0.0, 63.0, 63.0])
    moved = jittered_box(box.expand(500, 4), BoxNoise(cap_px=1e6), image_size=64, generator=seeded())
    assert moved.min() == 0 and moved.max() == 63


def test_box_without_noise_is_the_box():
    boxes = torch.tensor([[[1.0, 2.0, 30.0, 40.0], [5.0, 5.0, 9.0, 60.0]]])
    assert torch.equal(jittered_box(boxes, BoxNoise(deviation=0.0), image_size=64, generator=seeded()), boxes)


def test_low_resolution_is_the_share_of_each_cell():
    masks = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    masks[0, 0, :4, :4] = True
    masks[0, 1, 0, :3] = True
    shares = low_resolution(masks, 2)
    assert shares[0, 0].tolist() == [[1, 0], [0, 0]]
    assert shares[0, 1].tolist() == [[3 / 16, 0], [0, 0]]


def test_low_resolution_keeps_the_area_of_a_mask():
    masks = torch.rand(2, 3, 32, 32) < 0.3
    shares = low_resolution(masks, 8)
    torch.testing.assert_close(shares.sum(dim=(-2, -1)) * 16, masks.sum(dim=(-2, -1)).float())
    torch.testing.assert_close(shares, F.avg_pool2d(masks.float(), 4))
