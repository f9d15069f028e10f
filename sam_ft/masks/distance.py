"""How deep inside its mask a pixel lies, and the deepest pixel: the centre that a careful user would click.

On a CPU the transform is OpenCV's exact one, mask by mask inside its bounding box: four times as fast as SciPy's, and
20 to 300 times as fast as tensor code. Elsewhere it is tensor code for all masks at once, without a copy to the CPU, as
Saito and Toriwaki found it (1994, "New algorithms for Euclidean distance transformation"): column by column first, then
along the rows. Both count in squares, which are whole numbers, so that of equally deep pixels the first is found.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.masks.boxes import expect_masks

_LARGE = 256 * 256
"""Pixels from which a rough distance transform first is less work than an exact one."""

_ROUGH = 0.02
"""More than the largest relative error of OpenCV's transform with a 5x5 mask, from -0.0176 to 0.0192 by direction."""

_LOOK_EVERY = 8
"""Offsets after which it is looked whether a larger one can matter; each look waits for the device."""


def distance_to_boundary(masks: Tensor) -> Tensor:
    """The Euclidean distance, in pixels, of each true pixel to the nearest false pixel.

    Pixels beyond the image count as false, so an object cut by the image's border has its boundary there (as in
    RITM and in SAM 2's evaluation, which pad by one).

    Args:
        masks: `(..., H, W)` bool.

    Returns:
        `(..., H, W)` float32, at least 1 inside the mask and 0 outside it; all zeros for an empty mask.

    Raises:
        ValueError: `masks` is not bool or has fewer than two dimensions.
    """
    if masks.device.type != "cpu":
        return squared_distances(masks).sqrt()
    distances = np.zeros(masks.shape, dtype=np.float32)
    flat = distances.reshape(-1, *masks.shape[-2:])  # (L, H, W), a view
    for index, (x0, y0, cropped) in enumerate(_cropped(masks)):
        inside = np.sqrt(_squares(cropped)[1:-1, 1:-1])
        flat[index, y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]] = inside
    return torch.from_numpy(distances).to(masks.device)


def centre_point(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel of each mask that lies farthest from its boundary; of equals, the first in raster order.

    Args:
        masks: `(..., H, W)` bool.

    Returns:
        points: `(..., 2)` float32, (x, y) indices of pixels; (0, 0) for an empty mask.
        distances: `(...)` float32, the distance to the boundary there in pixels; 0 for an empty mask.

    Raises:
        ValueError: `masks` is not bool or has fewer than two dimensions.
    """
    if masks.device.type != "cpu":
        return deepest(squared_distances(masks))
    points = np.zeros((*masks.shape[:-2], 2), dtype=np.float32)
    depths = np.zeros(masks.shape[:-2], dtype=np.float32)
    flat_points, flat_depths = points.reshape(-1, 2), depths.reshape(-1)  # views
    for index, (x0, y0, cropped) in enumerate(_cropped(masks)):
        row, column, square = _deepest_of(cropped)
        if square > 0:
            flat_points[index] = (x0 + column - 1, y0 + row - 1)
            flat_depths[index] = np.sqrt(square)
    return torch.from_numpy(points).to(masks.device), torch.from_numpy(depths).to(masks.device)


def squared_distances(masks: Tensor) -> Tensor:
    """The square of `distance_to_boundary` for all masks at once, on their own device.

    Args:
        masks: `(..., H, W)` bool.

    Returns:
        `(..., H, W)` float32, whole numbers.

    Raises:
        ValueError: `masks` is not bool or has fewer than two dimensions.
    """
    expect_masks(masks)
    if masks.numel() == 0:
        return masks.float()
    height, width = masks.shape[-2:]
    rows = torch.arange(height, device=masks.device, dtype=torch.int32)[:, None]
    above = torch.where(masks, -1, rows).cummax(dim=-2).values  # the last false row so far, or the one before the image
    below = torch.where(masks, height, rows).flip(-2).cummin(dim=-2).values.flip(-2)
    in_column = F.pad(torch.minimum(rows - above, below - rows), (1, 1)).square()  # (..., H, W + 2)
    nearest = in_column.clone()
    for offset in range(1, width + 2):
        square = offset * offset
        torch.minimum(nearest[..., offset:], in_column[..., :-offset] + square, out=nearest[..., offset:])
        torch.minimum(nearest[..., :-offset], in_column[..., offset:] + square, out=nearest[..., :-offset])
        if offset % _LOOK_EVERY == 0 and (offset + 1) ** 2 >= int(nearest.max()):
            break  # whatever is still farther away is not nearer
    return nearest[..., 1:-1].float()


def deepest(depths: Tensor) -> tuple[Tensor, Tensor]:
    """Where squared distances are largest, of equals the first in raster order.

    Args:
        depths: `(..., H, W)`, squared.

    Returns:
        points `(..., 2)` as (x, y) float32, and distances `(...)` float32; zeros for an empty mask.
    """
    most, index = depths.flatten(-2).max(dim=-1)  # (...)
    width = depths.shape[-1]
    return torch.stack([index % width, index // width], dim=-1).float(), most.sqrt()


def _cropped(masks: Tensor) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """For each mask in turn: left and top of its bounding box, and the box's pixels with one false pixel around them.

    Everything outside the box is false, and the one pixel stands for all of it: distances inside are exact and cost
    what the object costs, not what the image costs.
    """
    expect_masks(masks)
    for array in masks.detach().numpy().view(np.uint8).reshape(-1, *masks.shape[-2:]):  # (H, W)
        x0, y0, width, height = cv2.boundingRect(array)  # all zero for an empty mask
        yield x0, y0, np.pad(array[y0 : y0 + height, x0 : x0 + width], 1)


def _squares(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The squared distance of each true pixel to the nearest false one: whole numbers, whatever roots were taken."""
    distances = cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(distances * distances)


def _deepest_of(pixels: npt.NDArray[np.uint8]) -> tuple[int, int, float]:
    """Row and column of the first of the deepest pixels, and its squared distance.

    In a large and ragged region most of the exact transform is about pixels that are far from being the deepest. A
    rough one, never off by more than `_ROUGH`, says which can be, and these alone are looked at exactly.
    """
    if pixels.size > _LARGE:
        rough = cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_5)
        most = float(rough.max())
        reach = int(most / (1 - _ROUGH)) + 1
        candidates = np.argwhere(rough >= most * (1 - _ROUGH) / (1 + _ROUGH))
        if len(candidates) * (2 * reach + 1) ** 2 < pixels.size / 8:
            return _deepest_among(pixels, candidates.tolist(), reach)
    squares = _squares(pixels)
    row, column = divmod(int(squares.argmax()), pixels.shape[1])
    return row, column, float(squares[row, column])


def _deepest_among(pixels: npt.NDArray[np.uint8], candidates: list[list[int]], reach: int) -> tuple[int, int, float]:
    """As `_deepest_of`, of some pixels, [row, column], none of which is deeper than `reach`."""
    best = (0, 0, 0.0)
    for row, column in candidates:
        top, left = max(row - reach, 0), max(column - reach, 0)
        around = pixels[top : row + reach + 1, left : column + reach + 1]
        square = float(_squares(np.ascontiguousarray(around))[row - top, column - left])
        if square > best[2]:
            best = (row, column, square)
    return best
