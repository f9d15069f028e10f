"""Parts of an image that a mask generator looks at one by one, and the points that it asks about in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_ft.checks import expect_whole_number


@dataclass(frozen=True)
class Crop:
    """A part of an image: the pixels x0 <= x < x1 and y0 <= y < y1.

    Attributes:
        box: (x0, y0, x1, y1).
        layer: 0: the whole image; further ones have smaller parts.
    """

    box: tuple[int, int, int, int]
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0

    def of(self, image: np.ndarray) -> np.ndarray:
        """This part of an image (H, W, ...)."""
        x0, y0, x1, y1 = self.box
        return image[y0:y1, x0:x1]


def crops_of(size: tuple[int, int], *, num_layers: int, overlap_ratio: float) -> list[Crop]:
    """The whole image, then layer by layer its parts: 2 x 2, 4 x 4, ..., column by column.

    Args:
        size: (height, width) of the image.
        num_layers: layers of parts beyond the whole image.
        overlap_ratio: by how much of the image's shorter side the parts of the first layer overlap; half as much in
            each further layer.

    Raises:
        ValueError: a negative number of layers, or the parts would be empty.

    Source: segment_anything, `utils/amg.py` (generate_crop_boxes).
    """
    expect_whole_number("crop_n_layers", num_layers, least=0)
    height, width = size
    crops = [Crop((0, 0, width, height), layer=0)]
    for layer in range(1, num_layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / count))
        part_height, part_width = (math.ceil((overlap * (count - 1) + length) / count) for length in size)
        for column in range(count):
            for row in range(count):
                x0, y0 = column * (part_width - overlap), row * (part_height - overlap)
                box = (x0, y0, min(x0 + part_width, width), min(y0 + part_height, height))
                if x0 >= box[2] or y0 >= box[3]:
                    raise ValueError(
                        f"Expected `crop_n_layers` that {height} x {width} pixels can hold, but got {layer}."
                    )
                crops.append(Crop(box, layer))
    return crops


def grids_of_layers(points_per_side: int, *, num_layers: int, downscale_factor: int) -> list[np.ndarray]:
    """For each layer of crops the middles of equal parts of a crop, `(n * n, 2)` from 0 to 1, row by row.

    Args:
        points_per_side: n of the whole image.
        num_layers: layers beyond the whole image.
        downscale_factor: by how much n shrinks from layer to layer.

    Raises:
        ValueError: a number below 1, or a layer without points.

    Source: segment_anything, `utils/amg.py` (build_all_layer_point_grids).
    """
    expect_whole_number("points_per_side", points_per_side, least=1)
    expect_whole_number("crop_n_points_downscale_factor", downscale_factor, least=1)
    counts = [points_per_side // downscale_factor**layer for layer in range(num_layers + 1)]
    if not counts[-1]:
        raise ValueError(
            f"Expected `points_per_side` of at least {downscale_factor**num_layers} for {num_layers} layers of crops, "
            f"but got {points_per_side}."
        )
    return [_grid(count) for count in counts]


def expect_grids(point_grids: Sequence[np.ndarray], *, num_layers: int) -> list[np.ndarray]:
    """A user's own grids, one `(N, 2)` from 0 to 1 for each layer.

    Raises:
        ValueError: too few, or of another shape or range.
    """
    grids = [np.asarray(grid, dtype=np.float64) for grid in point_grids]
    if len(grids) <= num_layers:
        raise ValueError(f"Expected `point_grids` of {num_layers + 1} layers, but got {len(grids)}.")
    for grid in grids:
        if grid.ndim != 2 or grid.shape[1] != 2 or not len(grid) or not ((grid >= 0) & (grid <= 1)).all():
            raise ValueError(f"Expected `point_grids` (N, 2) of points from 0 to 1, but got {grid.shape}.")
    return grids


def _grid(count: int) -> np.ndarray:
    middles = (np.arange(count) + 0.5) / count
    x, y = np.meshgrid(middles, middles)
    return np.stack([x, y], axis=-1).reshape(-1, 2)
