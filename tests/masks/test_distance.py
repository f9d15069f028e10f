from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from sam_ft.masks import distance
from sam_ft.masks.distance import centre_point, deepest, distance_to_boundary, squared_distances


def brute_force(mask: Tensor) -> Tensor:
    """The definition: pad by one, and take the smallest distance to any false pixel."""
    padded = torch.nn.functional.pad(mask, (1, 1, 1, 1))
    false = (~padded).nonzero().float()
    result = torch.zeros(padded.shape)
    for row, column in padded.nonzero().tolist():
        result[row, column] = (false - torch.tensor([row, column])).norm(dim=1).min()
    return result[1:-1, 1:-1]


def random_blobs(*, seed: int) -> Tensor:
    noise = torch.rand(2, 3, 1, 14, 17, generator=torch.Generator().manual_seed(seed)).flatten(0, 1)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    return (smooth > 0.45).reshape(2, 3, 14, 17)


def test_distances_of_a_square_by_hand() -> None:
    mask = torch.zeros(5, 6, dtype=torch.bool)
    mask[1:4, 2:5] = True
    assert distance_to_boundary(mask)[1:4, 2:5].tolist() == [[1, 1, 1], [1, 2, 1], [1, 1, 1]]


def test_the_border_of_the_image_is_a_boundary() -> None:
    assert distance_to_boundary(torch.ones(3, 4, dtype=torch.bool)).tolist() == [[1, 1, 1, 1], [1, 2, 2, 1], [1] * 4]


def test_distances_equal_the_definition_for_random_masks() -> None:
    masks = random_blobs(seed=0)
    distances = distance_to_boundary(masks)
    assert masks.float().mean() > 0.3
    for mask, found in zip(masks.flatten(0, 1), distances.flatten(0, 1), strict=True):
        torch.testing.assert_close(found, brute_force(mask))


def test_centre_is_the_deepest_pixel_and_first_of_equals() -> None:
    masks = random_blobs(seed=1)
    points, depths = centre_point(masks)
    for mask, (x, y), depth in zip(masks.flatten(0, 1), points.flatten(0, 1).long(), depths.flatten(), strict=True):
        distances = distance_to_boundary(mask)
        assert depth == distances.max()
        assert y * mask.shape[1] + x == distances.flatten().argmax()


def test_of_two_equal_centres_the_upper_left_one_is_taken() -> None:
    mask = torch.zeros(5, 9, dtype=torch.bool)
    mask[1:4, 1:4] = mask[1:4, 5:8] = True
    point, depth = centre_point(mask)
    assert (point.tolist(), depth.item()) == ([2, 2], 2)


def test_an_empty_mask_has_depth_zero() -> None:
    points, depths = centre_point(torch.zeros(2, 3, 3, dtype=torch.bool))
    assert depths.tolist() == [0, 0]
    assert points.tolist() == [[0, 0], [0, 0]]
    assert not distance_to_boundary(torch.zeros(3, 3, dtype=torch.bool)).any()


def test_no_masks_give_no_centres() -> None:
    points, depths = centre_point(torch.zeros(0, 3, 3, dtype=torch.bool))
    assert (points.shape, depths.shape) == ((0, 2), (0,))


@pytest.mark.parametrize("transform", [distance_to_boundary, squared_distances])
def test_what_is_not_bool_is_refused(transform) -> None:
    with pytest.raises(ValueError, match="Expected `masks`"):
        transform(torch.zeros(4, 4))


# The tensor code that serves other devices, here on the CPU against SciPy


@pytest.mark.parametrize("share", [0.5, 0.9, 0.995, 0.9999])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (33, 70), (70, 33)])
def test_tensor_code_agrees_with_scipy_on_random_masks(size, share) -> None:
    masks = torch.rand(3, 2, *size, generator=torch.Generator().manual_seed(0)) < share
    torch.testing.assert_close(squared_distances(masks).sqrt(), distance_to_boundary(masks), rtol=0, atol=1e-4)


def test_tensor_code_agrees_with_scipy_on_full_and_empty_masks() -> None:
    masks = torch.stack([torch.ones(50, 70), torch.zeros(50, 70)]).bool()
    assert torch.equal(squared_distances(masks).sqrt(), distance_to_boundary(masks))


def test_tensor_code_finds_the_same_centres() -> None:
    masks = torch.cat([random_blobs(seed=seed).flatten(0, 1) for seed in range(20)])
    masks[0] = False
    points, depths = deepest(squared_distances(masks))
    expected_points, expected_depths = centre_point(masks)
    assert torch.equal(points, expected_points)
    torch.testing.assert_close(depths, expected_depths)


def test_tensor_code_takes_no_masks() -> None:
    assert squared_distances(torch.zeros(0, 3, 3, dtype=torch.bool)).shape == (0, 3, 3)
    points, depths = deepest(squared_distances(torch.zeros(0, 3, 3, dtype=torch.bool)))
    assert (points.shape, depths.shape) == ((0, 2), (0,))


# A rough transform first, where a region is large


def ragged(share: float, *, seed: int) -> Tensor:
    """Half of it noise, smoothed: hundreds of regions, as the error of a model that knows nothing."""
    noise = torch.rand(1, 1, 300, 400, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 9, stride=1, padding=4)[0] > 1 - share  # (1, 300, 400)


def bars() -> Tensor:
    """Ridges of very many equally deep pixels."""
    return ((torch.arange(300) % 50 < 31)[:, None] & (torch.arange(400) > 3)).clone()[None]


@pytest.mark.parametrize(
    "masks",
    [
        pytest.param(
            torch.cat([ragged(share, seed=seed) for share in (0.45, 0.5, 0.55) for seed in range(4)]), id="noise"
        ),
        pytest.param(bars(), id="bars"),
        pytest.param(torch.ones(1, 300, 400, dtype=torch.bool), id="full"),
    ],
)
def test_the_centre_of_a_large_region_is_where_the_exact_distance_is_largest(masks, monkeypatch) -> None:
    monkeypatch.setattr("sam_ft.masks.distance._LARGE", 0)
    points, depths = centre_point(masks)
    for mask, (x, y), depth in zip(masks, points.long(), depths, strict=True):
        distances = distance_to_boundary(mask)
        assert depth == distances.max()
        assert y * mask.shape[1] + x == distances.flatten().argmax()


def test_few_pixels_of_a_ragged_region_are_looked_at_exactly(monkeypatch) -> None:
    sizes = []
    exact = distance._squares
    monkeypatch.setattr("sam_ft.masks.distance._LARGE", 0)
    monkeypatch.setattr("sam_ft.masks.distance._squares", lambda pixels: sizes.append(pixels.size) or exact(pixels))
    centre_point(ragged(0.5, seed=0))
    assert 0 < sum(sizes) < 300 * 400 / 8


def test_the_rough_transform_is_never_off_by_more_than_is_assumed() -> None:
    pixels = np.ones((801, 801), dtype=np.uint8)
    pixels[400, 400] = 0
    rough = cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_5)
    rows, columns = np.mgrid[-400:401, -400:401]
    distances = np.hypot(rows, columns)
    away = distances > 0
    assert np.abs(rough[away] / distances[away] - 1).max() < distance._ROUGH
