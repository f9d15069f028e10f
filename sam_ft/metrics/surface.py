"""How well two masks agree in mm: Dice, surface Dice (NSD), Hausdorff distance and volume, of volumes and of slices.

One rule for empty masks holds everywhere. A mask that is empty in the truth and in the prediction tells nothing: every
measure is NaN, to be left out of means and counted by itself. Where one of the two is empty, Dice and surface Dice are
0 and the Hausdorff distance is the diagonal of the array, the largest distance that there could be.

What lies beyond an array counts as background: a mask that touches the border has a surface there, as in MONAI and in
DeepMind's surface-distance. A spacing has a length in mm for each axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

_ROUNDING = 1e-6
"""Share of a tolerance by which a distance may exceed it: 3 times 0.1 mm is not above 0.3 mm."""


def volume_dice(predicted: Tensor, truth: Tensor) -> float:
    """Dice coefficient of all voxels.

    MONAI's `compute_dice` leaves every mask out whose truth is empty, so that an invented object costs nothing, or
    with `ignore_empty=False` calls it 0 and two empty masks 1; here these are 0 and NaN.

    Args:
        predicted: `(H, W)` or `(D, H, W)` bool.
        truth: bool, of the same shape.

    Returns:
        0 to 1; NaN where both are empty, 0 where one is.

    Raises:
        ValueError: the shapes differ or a mask is not bool.
    """
    _check(predicted, truth)
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else math.nan


def surface_dice(predicted: Tensor, truth: Tensor, *, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """The share of both surfaces that lies within a tolerance of the other one: normalised surface Dice, NSD.

    This is DeepMind's definition: a surface is made of elements between 2 x 2 x 2 voxels, each of which weighs as much
    as its area in mm2 (of a slice: between 2 x 2 pixels, its length in mm). Elements and areas are MONAI's, and the
    result is that of its `compute_surface_dice(use_subvoxels=True)`. Without that setting MONAI counts the voxels of
    the surface, all alike: in a volume of thick slices the flat top of an organ, a few large voxels, then weighs much
    less than its sides.

    Args:
        predicted: `(H, W)` or `(D, H, W)` bool.
        truth: bool, of the same shape.
        spacing_mm: of each axis.
        tolerance_mm: how far apart two surfaces that agree may be, such as two annotators' are.

    Returns:
        0 to 1; NaN where both are empty, 0 where one is.

    Raises:
        ValueError: the shapes differ, a mask is not bool, or a length is out of range.

    Source: Nikolov et al. 2018, "Deep learning to achieve clinically applicable segmentation of head and neck anatomy
    for radiotherapy"; github.com/google-deepmind/surface-distance.
    """
    _check(predicted, truth, spacing_mm)
    if not 0 <= tolerance_mm < math.inf:
        raise ValueError(f"Expected `tolerance_mm` of at least 0, but got {tolerance_mm}.")
    if not predicted.any() or not truth.any():
        return 0.0 if predicted.any() or truth.any() else math.nan
    (first, first_areas), (second, second_areas) = _surface_elements(predicted, truth, spacing_mm)
    within = tolerance_mm * (1 + _ROUNDING)
    agreeing = (
        first_areas[_nearest(first, second) <= within].sum() + second_areas[_nearest(second, first) <= within].sum()
    )
    return float(agreeing / (first_areas.sum() + second_areas.sum()))


def hausdorff_distance(
    predicted: Tensor, truth: Tensor, *, spacing_mm: Sequence[float], percentile: float = 95.0
) -> float:
    """How far apart the surfaces are: a percentile of the distances from each to the other, the larger of the two.

    The surface is the mask's voxels that have one of its 4 (6) neighbours outside; all count alike, and percentiles
    lie between distances linearly. The result is that of MONAI's `compute_hausdorff_distance` where both masks have
    voxels. Where one has none, MONAI's percentile is NaN (of infinite distances), and its means leave it out: a missed
    object costs nothing. It also stops at surfaces of 2^24 voxels.

    Args:
        predicted: `(H, W)` or `(D, H, W)` bool.
        truth: bool, of the same shape.
        spacing_mm: of each axis.
        percentile: of the distances; 100 gives the largest one.

    Returns:
        mm; NaN where both are empty, the diagonal of the array where one is.

    Raises:
        ValueError: the shapes differ, a mask is not bool, or a length is out of range.
    """
    _check(predicted, truth, spacing_mm)
    if not predicted.any() or not truth.any():
        return diagonal_mm(truth.shape, spacing_mm) if predicted.any() or truth.any() else math.nan
    first, second = (_surface_points(mask, spacing_mm) for mask in (predicted, truth))
    return float(max(np.percentile(_nearest(*pair), percentile) for pair in ((first, second), (second, first))))


def diagonal_mm(shape: Sequence[int], spacing_mm: Sequence[float]) -> float:
    """The length of an array's diagonal, from the outer corner of a voxel to that of the farthest one."""
    return math.hypot(*(length * step for length, step in zip(shape, spacing_mm, strict=True)))


def volume_ml(mask: Tensor, *, spacing_mm: Sequence[float]) -> float:
    """The volume of a mask `(D, H, W)` in millilitres.

    Raises:
        ValueError: the mask is not bool, or has not three axes.
    """
    if mask.dtype != torch.bool or mask.ndim != 3:
        raise ValueError(f"Expected `mask` (D, H, W) of bool, but got {tuple(mask.shape)} of {mask.dtype}.")
    return int(mask.sum()) * math.prod(spacing_mm) / 1000


def _surface_elements(
    predicted: Tensor, truth: Tensor, spacing_mm: Sequence[float]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where the elements of both surfaces are, in mm, and how large: (K, axes) and (K,)."""
    from monai.metrics.utils import get_mask_edges  # takes seconds to import

    spacing = tuple(map(float, spacing_mm))
    *edges, predicted_areas, truth_areas = get_mask_edges(predicted.cpu(), truth.cpu(), spacing=spacing)
    return [
        (np.argwhere(where.numpy()) * np.array(spacing), areas[where].double().numpy())
        for where, areas in zip(edges, (predicted_areas, truth_areas), strict=True)
    ]


def _surface_points(mask: Tensor, spacing_mm: Sequence[float]) -> np.ndarray:
    """The middles of a mask's outermost voxels in mm: (K, axes) float64."""
    voxels = mask.numpy(force=True)
    (around,) = ndimage.find_objects(voxels.astype(np.uint8))
    inside = voxels[around]
    corner = np.array([part.start for part in around])
    return (np.argwhere(inside & ~ndimage.binary_erosion(inside)) + corner) * np.array(spacing_mm, dtype=np.float64)


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The distance of each point to the nearest one of the others: (K, axes), (L, axes) -> (K,)."""
    return KDTree(others, leafsize=32).query(points)[0]


def _check(predicted: Tensor, truth: Tensor, spacing_mm: Sequence[float] | None = None) -> None:
    for name, mask in (("predicted", predicted), ("truth", truth)):
        if mask.dtype != torch.bool or mask.ndim not in (2, 3):
            raise ValueError(
                f"Expected `{name}` (H, W) or (D, H, W) of bool, but got {tuple(mask.shape)} of {mask.dtype}."
            )
    if predicted.shape != truth.shape:
        raise ValueError(
            f"Expected `predicted` and `truth` of one shape, but got {tuple(predicted.shape)} and {tuple(truth.shape)}."
        )
    if spacing_mm is not None and (
        len(spacing_mm) != truth.ndim or not all(0 < step < math.inf for step in spacing_mm)
    ):
        raise ValueError(f"Expected `spacing_mm` of {truth.ndim} lengths above 0, but got {list(spacing_mm)}.")
