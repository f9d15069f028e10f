from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion

from sam_ft.metrics.boundary import boundary_iou, mask_boundaries
from sam_ft.metrics.overlap import iou

KINDS = ("empty", "full", "pixel", "edge", "disc", "noise")


def mask_of(kind: str, height: int, width: int, *, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mask = np.zeros((height, width), dtype=bool)
    y, x = np.mgrid[:height, :width]
    match kind:
        case "full":
            mask[:] = True
        case "pixel":
            mask[random.integers(height), random.integers(width)] = True
        case "edge":
            mask[:, : max(width // 3, 1)] = True
        case "disc":
            centre, radius = random.random(2) * (height, width), random.uniform(1, max(height, width))
            mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
        case "noise":
            mask = random.random((height, width)) < 0.9
    return mask


def brute_force(mask: np.ndarray, dilation_ratio: float) -> np.ndarray:
    """As in Cheng et al.'s code: eroded by 3 x 3 pixels so many times, with nothing outside of the image."""
    distance = max(round(dilation_ratio * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)), 1)
    return mask & ~binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=0)


@pytest.mark.reference
@settings(max_examples=120)
@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    dilation_ratio=st.sampled_from([0.0, 0.02, 0.1, 0.5]),
    seed=st.integers(0, 99),
)
def test_the_boundary_is_what_erosion_takes_away(
    kind: str, height: int, width: int, dilation_ratio: float, seed: int
) -> None:
    mask = mask_of(kind, height, width, seed=seed)
    found = mask_boundaries(torch.from_numpy(mask), dilation_ratio=dilation_ratio)
    assert np.array_equal(found.numpy(), brute_force(mask, dilation_ratio))


@pytest.mark.reference
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_boundary_iou_is_that_of_brute_force(first: str, second: str) -> None:
    masks = mask_of(first, 90, 120, seed=1), mask_of(second, 90, 120, seed=2)
    one, other = (brute_force(mask, 0.02) for mask in masks)
    union = (one | other).sum()
    expected = (one & other).sum() / union if union else 1.0
    assert boundary_iou(*map(torch.from_numpy, masks)).item() == pytest.approx(expected, abs=1e-6)


def test_many_masks_at_once_equal_one_after_the_other() -> None:
    masks = torch.stack([torch.from_numpy(mask_of("disc", 30, 50, seed=seed)) for seed in range(20)])
    together = boundary_iou(masks.view(4, 5, 30, 50), masks[:1].view(1, 1, 30, 50))
    alone = torch.stack([boundary_iou(mask, masks[0]) for mask in masks])
    assert together.shape == (4, 5)
    torch.testing.assert_close(together.flatten(), alone)
    assert mask_boundaries(masks[:0]).shape == (0, 30, 50)


def test_a_wrong_outline_costs_more_than_the_iou_says() -> None:
    target = torch.zeros(200, 200, dtype=torch.bool)
    mask = target.clone()
    target[20:180, 20:180] = True
    mask[26:174, 26:174] = True  # 6 pixels inside, as wide as the boundary
    assert iou(mask, target) > 0.85
    assert boundary_iou(mask, target) == 0


def test_what_is_no_mask_is_refused() -> None:
    mask = torch.zeros(4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="Expected `masks`"):
        boundary_iou(mask.float(), mask)
    with pytest.raises(ValueError, match="same height and width"):
        boundary_iou(mask, torch.zeros(4, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="dilation_ratio"):
        mask_boundaries(mask, dilation_ratio=-0.1)
