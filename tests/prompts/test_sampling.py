"""The distributions of single prompts. Seeds are fixed, so that a test of chance passes always or never."""

from __future__ import annotations

import torch
from scipy.stats import chisquare
from torch.nn import functional as F

from sam_ft.prompts.sampling import draw_for, low_resolution, spoilt_mask, uniform_point


def ragged_region() -> torch.Tensor:
    """(13, 17) with rows of very different lengths, holes and empty rows and columns."""
    region = torch.zeros(13, 17, dtype=torch.bool)
    region[2, 3] = True
    region[4, :16] = True
    region[5, ::3] = True
    region[9:12, 8:14] = True
    region[10, 9:12] = False
    return region


def test_point_is_uniform_over_the_pixels_of_its_region(seeded):
    region = ragged_region()
    points, found = uniform_point(region.expand(20_000, 13, 17), seeded())
    x, y = points.long().unbind(-1)
    counts = torch.zeros(13, 17, dtype=torch.int64).index_put((y, x), torch.ones(1, dtype=torch.int64), accumulate=True)
    assert found.all()
    assert counts[~region].sum() == 0
    assert chisquare(counts[region].numpy()).pvalue > 0.01


def test_points_of_different_objects_are_drawn_apart(seeded):
    regions = torch.ones(1, 2, 64, 64, dtype=torch.bool).expand(2000, -1, -1, -1)
    points, _ = uniform_point(regions, seeded())
    assert torch.corrcoef(points.flatten(1).T)[0, 2:].abs().max() < 0.08
    assert (points[:, 0] != points[:, 1]).any(dim=-1).float().mean() > 0.99


def test_point_is_x_before_y_and_lies_in_each_objects_own_region(seeded):
    regions = torch.zeros(2, 3, 8, 10, dtype=torch.bool)
    pixels = {(0, 0): (9, 7), (0, 1): (0, 0), (0, 2): (4, 6), (1, 0): (3, 1), (1, 1): (0, 7), (1, 2): (9, 0)}
    for (b, n), (x, y) in pixels.items():
        regions[b, n, y, x] = True
    points, found = uniform_point(regions, seeded())
    assert found.all()
    for (b, n), pixel in pixels.items():
        assert tuple(points[b, n].tolist()) == pixel


def test_empty_region_has_no_point(seeded):
    regions = torch.zeros(3, 5, 5, dtype=torch.bool)
    regions[1, 2, 3] = True
    points, found = uniform_point(regions, seeded())
    assert found.tolist() == [False, True, False]
    assert points.tolist() == [[0, 0], [3, 2], [0, 0]]


def test_largest_and_smallest_draws_stay_in_the_region(monkeypatch, seeded):
    region = ragged_region()
    pixels = region.nonzero().flip(-1).tolist()  # (x, y) in raster order
    for value, pixel in ((0.0, pixels[0]), (1 - 2**-53, pixels[-1])):
        monkeypatch.setattr(
            torch, "rand", lambda *args, value=value, **kw: torch.full(args, value, dtype=torch.float64)
        )
        points, _ = uniform_point(region, seeded())
        assert points.tolist() == pixel


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


ONE = torch.ones(1, 1, dtype=torch.bool)


def test_spoilt_mask_of_a_thin_object_is_the_object_itself(seeded):
    masks = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    masks[..., 32:36, :] = True  # one row of cells: smeared, it would vanish
    spoilt = spoilt_mask(masks, 16, valid=ONE, generator=seeded())
    assert torch.equal(spoilt > 0, low_resolution(masks, 16) > 0.5)


def test_spoilt_mask_of_nothing_is_nothing(seeded):
    nothing = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    assert not (spoilt_mask(nothing, 16, valid=ONE, generator=seeded()) > 0).any()


def test_draws_for_the_valid_do_not_depend_on_how_many_others_there_are(seeded):
    valid = torch.tensor([[True, False, True], [False, False, True]])
    for normal in (False, True):
        numbers = draw_for(valid, 2, generator=seeded(), normal=normal)
        assert torch.equal(
            numbers[valid], draw_for(torch.ones(3, dtype=torch.bool), 2, generator=seeded(), normal=normal)
        )
        assert not numbers[~valid].any()
