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

from sam_ft.masks.boxes import boxes_of_masks, expect_masks

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
    for index, (x0, y0, cropped) in enumerate(_cropped_squares(masks)):
        flat[index, y0 : y0 + cropped.shape[0], x0 : x0 + cropped.shape[1]] = np.sqrt(cropped)
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
    for index, (x0, y0, cropped) in enumerate(_cropped_squares(masks)):
        row, column = np.unravel_index(int(cropped.argmax()), cropped.shape)
        flat_points[index] = (x0 + column, y0 + row)
        flat_depths[index] = np.sqrt(cropped[row, column])
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


def _cropped_squares(masks: Tensor) -> Iterator[tuple[int, int, npt.NDArray[np.float32]]]:
    """For each mask in turn: left, top and the squared distances inside its bounding box.

    Everything outside the box is false, so one false pixel around it stands for all of them: the distances are
    exact and cost what the object costs, not what the image costs.
    """
    boxes = boxes_of_masks(masks).reshape(-1, 4).int().tolist()
    arrays = masks.detach().cpu().numpy().view(np.uint8).reshape(-1, *masks.shape[-2:])  # (L, H, W)
    for (x0, y0, x1, y1), array in zip(boxes, arrays, strict=True):
        cropped = np.pad(array[y0 : y1 + 1, x0 : x1 + 1], 1)
        distances = cv2.distanceTransform(cropped, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        yield x0, y0, np.rint(distances * distances)
