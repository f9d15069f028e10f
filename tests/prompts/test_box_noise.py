"""How boxes miss their objects. Seeds are fixed, so that a test of chance passes always or never."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest, norm, uniform

from sam_ft.prompts.box_noise import GaussianNoise, OutwardNoise, ShiftNoise, UniformNoise, jittered_box

BOX = torch.tensor([400.0, 300.0, 500.0, 460.0])  # 100 wide, 160 high


def test_box_noise_is_a_tenth_of_the_width_for_x_and_of_the_height_for_y(seeded):
    box = torch.tensor([400.0, 300.0, 500.0, 460.0])  # 100 wide, 160 high
    moved = jittered_box(box.expand(20_000, 4), GaussianNoise(), image_size=1024, generator=seeded()) - box
    for coordinate, deviation in ((0, 10.0), (1, 16.0), (2, 10.0), (3, 16.0)):
        noise = moved[:, coordinate]
        inner = noise[noise.abs() < 20].numpy()
        low, high = norm.cdf(-20, scale=deviation), norm.cdf(20, scale=deviation)
        truncated = kstest(inner, lambda x, s=deviation, a=low, b=high: (norm.cdf(x, scale=s) - a) / (b - a))
        assert truncated.pvalue > 0.01
        capped = (noise.abs() == 20).float().mean().item()
        assert capped == pytest.approx(2 * low, abs=0.01)


def test_box_noise_has_its_deviation_where_the_cap_does_not_reach(seeded):
    box = torch.tensor([400.0, 300.0, 440.0, 360.0])  # 40 wide, 60 high: 20 px are 5 and 3.3 deviations
    moved = jittered_box(box.expand(20_000, 4), GaussianNoise(), image_size=1024, generator=seeded()) - box
    assert moved.std(dim=0).tolist() == pytest.approx([4, 6, 4, 6], rel=0.02)
    assert moved.mean(dim=0).abs().max() < 0.15
    assert torch.corrcoef(moved.T).fill_diagonal_(0).abs().max() < 0.03


@pytest.mark.parametrize("image_size, cap", [(1024, 20.0), (512, 10.0), (256, 5.0)])
def test_cap_is_20_px_at_1024_and_scales_with_the_image(image_size, cap, seeded):
    box = torch.tensor([0.2, 0.2, 0.8, 0.8]) * image_size  # 0.06 image_size deviation: mostly capped
    moved = jittered_box(box.expand(5000, 4), GaussianNoise(), image_size=image_size, generator=seeded()) - box
    assert moved.abs().max().item() == pytest.approx(cap, rel=1e-4)
    assert (moved.abs() > 0.999 * cap).float().mean() > 0.6


def test_box_that_noise_turns_inside_out_falls_back_to_the_clean_one(seeded):
    box = torch.tensor([50.0, 50.0, 52.0, 90.0])
    moved = jittered_box(box.expand(2000, 4), GaussianNoise(deviation=2.0), image_size=1024, generator=seeded())
    is_clean = (moved == box).all(dim=-1)
    assert (moved[:, 2:] > moved[:, :2]).all()
    assert 0.2 < is_clean.float().mean() < 0.9


def test_box_of_a_single_pixel_stays_as_it_is(seeded):
    box = torch.tensor([[5.0, 6.0, 5.0, 6.0]])
    assert torch.equal(jittered_box(box, GaussianNoise(), image_size=64, generator=seeded()), box)


def test_box_one_pixel_thick_gets_noise_along_it(seeded):
    box = torch.tensor([20.0, 30.0, 60.0, 30.0]).expand(500, 4)
    moved = jittered_box(box, GaussianNoise(), image_size=1024, generator=seeded())
    assert torch.equal(moved[:, 1::2], box[:, 1::2])
    assert (moved[:, 0] - 20).std().item() == pytest.approx(4, rel=0.15)


def test_noisy_box_stays_in_the_frame(seeded):
    box = torch.tensor([0.0, 0.0, 63.0, 63.0])
    moved = jittered_box(box.expand(500, 4), GaussianNoise(cap_px=1e6), image_size=64, generator=seeded())
    assert moved.min() == 0 and moved.max() == 63


def test_box_without_noise_is_the_box(seeded):
    boxes = torch.tensor([[[1.0, 2.0, 30.0, 40.0], [5.0, 5.0, 9.0, 60.0]]])
    assert torch.equal(jittered_box(boxes, GaussianNoise(deviation=0.0), image_size=64, generator=seeded()), boxes)


def moves(noise, generator: torch.Generator, *, image_size: int = 1024) -> torch.Tensor:
    box = BOX * image_size / 1024
    return jittered_box(box.expand(5000, 4), noise, image_size=image_size, generator=generator) - box


@pytest.mark.parametrize("image_size", [1024, 256])
def test_uniform_noise_is_even_up_to_a_share_of_the_side_and_a_cap(seeded, image_size):
    pixel = image_size / 1024
    moved = moves(UniformNoise(share=0.15, cap_px=20), seeded(), image_size=image_size) / pixel
    for coordinate, most in ((0, 15.0), (1, 20.0), (2, 15.0), (3, 20.0)):  # 0.15 of 160 px is 24, above the cap
        assert kstest(moved[:, coordinate].numpy(), uniform(-most, 2 * most).cdf).pvalue > 0.01
    assert torch.corrcoef(moved.T).fill_diagonal_(0).abs().max() < 0.05


def test_outward_noise_moves_every_edge_away_from_the_object(seeded):
    moved = moves(OutwardNoise(cap_px=20), seeded())
    for coordinate, low in ((0, -20.0), (1, -20.0), (2, 0.0), (3, 0.0)):
        assert kstest(moved[:, coordinate].numpy(), uniform(low, 20).cdf).pvalue > 0.01


def test_outward_noise_may_be_a_share_of_the_side(seeded):
    moved = moves(OutwardNoise(share=0.025, cap_px=None), seeded())
    assert moved.abs().amax(dim=0).tolist() == pytest.approx([2.5, 4.0, 2.5, 4.0], rel=0.01)


def test_outward_noise_needs_a_bound():
    with pytest.raises(ValueError, match="Expected `share` or `cap_px`"):
        OutwardNoise(share=None, cap_px=None)


def test_shift_noise_moves_the_box_as_a_whole(seeded):
    moved = moves(ShiftNoise(share=0.1, cap_px=20), seeded())
    assert torch.allclose(moved[:, 0], moved[:, 2], atol=1e-3)
    assert torch.allclose(moved[:, 1], moved[:, 3], atol=1e-3)
    assert kstest(moved[:, 0].numpy(), uniform(-10, 20).cdf).pvalue > 0.01  # 0.1 of the shorter side, both ways
    assert kstest(moved[:, 1].numpy(), uniform(-10, 20).cdf).pvalue > 0.01
    assert torch.corrcoef(moved[:, :2].T)[0, 1].abs() < 0.05
