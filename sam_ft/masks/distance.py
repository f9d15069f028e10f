"""How deep inside its mask a pixel lies, and the deepest pixel: the centre that a careful user would click."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from sam_ft.masks.boxes import boxes_of_masks


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
    distances = np.zeros(masks.shape, dtype=np.float32)
    flat = distances.reshape(-1, *masks.shape[-2:])  # (L, H, W), a view
    for index, (x0, y0, cropped) in enumerate(_cropped_distances(masks)):
        flat[index, y0 : y0 + cropped.shape[0], x0 : x0 + cropped.shape[1]] = cropped
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
    points = np.zeros((*masks.shape[:-2], 2), dtype=np.float32)
    depths = np.zeros(masks.shape[:-2], dtype=np.float32)
    flat_points, flat_depths = points.reshape(-1, 2), depths.reshape(-1)  # views
    for index, (x0, y0, cropped) in enumerate(_cropped_distances(masks)):
        row, column = np.unravel_index(int(cropped.argmax()), cropped.shape)
        flat_points[index] = (x0 + column, y0 + row)
        flat_depths[index] = cropped[row, column]
    return torch.from_numpy(points).to(masks.device), torch.from_numpy(depths).to(masks.device)


def _cropped_distances(masks: Tensor) -> Iterator[tuple[int, int, npt.NDArray[np.float64]]]:
    """For each mask in turn: left, top and the distances inside its bounding box.

    Everything outside the box is false, so one false pixel around it stands for all of them: the distances are
    exact and cost what the object costs, not what the image costs.
    """
    boxes = boxes_of_masks(masks).reshape(-1, 4).int().tolist()
    arrays = masks.detach().cpu().numpy().reshape(-1, *masks.shape[-2:])  # (L, H, W)
    for (x0, y0, x1, y1), array in zip(boxes, arrays, strict=True):
        cropped = np.pad(array[y0 : y1 + 1, x0 : x1 + 1], 1)
        yield x0, y0, distance_transform_edt(cropped)[1:-1, 1:-1]
