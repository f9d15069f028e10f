"""Where a simulated user clicks an object first, besides at its centre: anywhere in it, or at its centre of mass."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

_WIDE_ENOUGH = 20
"""Pixels that an object goes on in each of four directions, beyond which more is no better."""


def drawn_points(targets: Tensor, *, image: str, first_index: int, seed: int) -> Tensor:
    """One pixel of each object, drawn uniformly.

    What is drawn follows from the seed, the name of the image and the object's index alone, so that it depends neither
    on the batch nor on the order.

    Args:
        targets: `(n, H, W)` bool, each with a pixel.
        image: the name of the image.
        first_index: the index of the first of the objects in its image.
        seed: another seed, other pixels.

    Returns:
        `(n, 2)` float32, (x, y) indices of pixels.
    """
    points = torch.zeros(len(targets), 2)
    for n, target in enumerate(targets):
        rows, columns = target.nonzero(as_tuple=True)
        digest = hashlib.sha256(f"{seed}:{image}:{first_index + n}".encode()).digest()
        rank = int.from_bytes(digest[:8]) * len(rows) >> 64  # in 0 to area - 1, all alike
        points[n] = torch.stack([columns[rank], rows[rank]]).float()
    return points


def centre_of_mass_points(targets: Tensor) -> Tensor:
    """The pixel nearest to the centre of mass of each object, or, where that is no pixel of it, one well inside.

    Of an object that does not hold its centre of mass, the pixel is clicked from which the object goes on farthest in
    the direction (up, down, left or right) in which it ends first; 20 pixels count as far enough, and of equals the
    first in raster order is taken. Source: segment-anything-fast, experiments/data.py; there too, a coordinate halfway
    between two pixels goes to the even one.

    Args:
        targets: `(n, H, W)` bool, each with a pixel.

    Returns:
        `(n, 2)` float32, (x, y) indices of pixels of the objects.
    """
    points = torch.zeros(len(targets), 2)
    for n, target in enumerate(targets):
        row, column = target.nonzero().double().mean(dim=0).round().long().tolist()
        if not target[row, column]:
            row, column = _well_inside(target.numpy(force=True))
        points[n] = torch.tensor([column, row], dtype=torch.float32)
    return points


def _well_inside(mask: np.ndarray) -> tuple[int, int]:
    """(row, column) of the pixel whose shortest way to the object's end in four directions is longest."""
    ways = [
        np.flip(_way_back(np.flip(mask, axis), axis), axis) if is_flipped else _way_back(mask, axis)
        for axis in (0, 1)
        for is_flipped in (False, True)
    ]
    shortest = np.where(mask, np.minimum(np.minimum.reduce(ways), _WIDE_ENOUGH), -1)
    row, column = np.unravel_index(int(shortest.argmax()), mask.shape)
    return int(row), int(column)


def _way_back(mask: np.ndarray, axis: int) -> np.ndarray:
    """(H, W): how many pixels of the object follow on each other before a pixel of it, up or to the left."""
    places = np.arange(mask.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
    last_outside = np.maximum.accumulate(np.where(mask, -1, places), axis=axis)
    return places - last_outside - 1
