"""The click simulator against an independent one that measures every distance in a loop over all pixels.

The shapes are small. Regions of more than 256 x 256 pixels are first looked at roughly, which
tests/masks/test_distance.py compares with exact distances; the code for GPUs is run here on the CPU.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam_ft.evaluation.asking.clicks import next_click
from sam_ft.masks.distance import deepest, squared_distances
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND

HEIGHT, WIDTH = 14, 17
ROUNDS = 4


def deepest_pixel(region: np.ndarray) -> tuple[int, int, int]:
    """(x, y, squared distance to the nearest pixel outside the region or the image); the first in raster order."""
    padded = np.zeros((HEIGHT + 2, WIDTH + 2), dtype=bool)
    padded[1:-1, 1:-1] = region
    outside = np.argwhere(~padded) - 1
    found = (0, 0, 0)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if region[y, x]:
                depth = int(((outside - (y, x)) ** 2).sum(axis=1).min())
                if depth > found[2]:
                    found = (x, y, depth)
    return found


def deepest_by_tensor_code(region: np.ndarray) -> tuple[int, int, int]:
    """What `deepest_pixel` finds, as it is found where masks lie on a GPU."""
    point, distance = deepest(squared_distances(torch.from_numpy(region)))
    x, y = point.int().tolist()
    return x, y, round(distance.item() ** 2)


def brute_force_click(mask: np.ndarray, target: np.ndarray) -> tuple[int, int, int]:
    """(x, y, label) of the deepest pixel that is wrong; of equally deep ones, one of the background."""
    missed, extra = deepest_pixel(target & ~mask), deepest_pixel(mask & ~target)
    if missed[2] == extra[2] == 0:
        return 0, 0, ABSENT
    return (*missed[:2], FOREGROUND) if missed[2] > extra[2] else (*extra[:2], BACKGROUND)


def random_shape(rng: np.random.Generator) -> np.ndarray:
    """Some ellipses, boxes and loose pixels, which may touch the border, with a hole at times."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    shape = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for _ in range(rng.integers(1, 4)):
        y, x = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
        height, width = rng.uniform(1, 8, size=2)
        if rng.random() < 0.5:
            shape |= ((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 <= 1
        else:
            shape |= (abs(rows - y) <= height / 2) & (abs(columns - x) <= width / 2)
    shape ^= rng.random(shape.shape) < rng.choice([0, 0.02, 0.1])
    return shape


def repaired(mask: np.ndarray, target: np.ndarray, click: tuple[int, int, int]) -> np.ndarray:
    """A model's next answer: right around the click, as before elsewhere."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    near = (rows - click[1]) ** 2 + (columns - click[0]) ** 2 <= 3**2
    return np.where(near, target, mask)


@pytest.mark.parametrize("seed", range(200))
def test_clicks_are_those_of_a_brute_force_simulator_round_after_round(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = random_shape(rng)
    mask = np.zeros_like(target)
    for turn in range(ROUNDS):
        points, labels = next_click(torch.from_numpy(mask), torch.from_numpy(target))
        expected = brute_force_click(mask, target)
        assert (*points.int().tolist(), labels.item()) == expected
        for region in (target & ~mask, mask & ~target):
            assert deepest_by_tensor_code(region) == deepest_pixel(region)
        mask = random_shape(rng) if turn == 0 else repaired(mask, target, expected)


def test_degenerate_shapes_are_clicked_alike() -> None:
    nothing = np.zeros((HEIGHT, WIDTH), dtype=bool)
    pixel, edge = nothing.copy(), nothing.copy()
    pixel[3, 5] = edge[:, -1] = True
    shapes = (nothing, ~nothing, pixel, edge, ~pixel)
    for mask in shapes:
        for target in shapes:
            points, labels = next_click(torch.from_numpy(mask), torch.from_numpy(target))
            assert (*points.int().tolist(), labels.item()) == brute_force_click(mask, target)
