"""Surface measures against all pairs of points, SciPy's distance transform, MONAI and values by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage
from torch import Tensor

from sam_ft.metrics.surface import diagonal_mm, hausdorff_distance, surface_dice, volume_dice, volume_ml

SPACINGS = {2: (1.7, 0.6), 3: (3.3, 0.7, 1.1)}
SHAPES = {2: (11, 9), 3: (6, 8, 7)}


def random_mask(seed: int, axes: int, *, share: float = 0.4) -> Tensor:
    return torch.rand(SHAPES[axes], generator=torch.Generator().manual_seed(seed)) < share


def one_voxel(axes: int, place: int) -> Tensor:
    mask = torch.zeros(SHAPES[axes], dtype=torch.bool)
    mask[(place,) * axes] = True
    return mask


def block(axes: int) -> Tensor:
    """It touches the border on one side of each axis."""
    mask = torch.zeros(SHAPES[axes], dtype=torch.bool)
    mask[(slice(0, 4),) * axes] = True
    return mask


def pairs(axes: int) -> list[tuple[Tensor, Tensor]]:
    """Random and degenerate masks, none of them empty."""
    full = torch.ones(SHAPES[axes], dtype=torch.bool)
    masks = [
        *(random_mask(seed, axes, share=share) for seed, share in ((0, 0.3), (1, 0.5), (2, 0.05))),
        one_voxel(axes, 0),
        one_voxel(axes, 3),
        block(axes),
        full,
    ]
    return list(itertools.combinations_with_replacement(masks, 2))


pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy")  # MONAI gives it to itself

CASES = [pytest.param(*pair, id=f"{axes}D-{number}") for axes in (2, 3) for number, pair in enumerate(pairs(axes))]


def surface_points(mask: Tensor) -> np.ndarray:
    """Voxels with a direct neighbour outside, found one by one, in mm."""
    padded = np.pad(mask.numpy(), 1)
    steps = [sign * np.eye(mask.ndim, dtype=int)[axis] for axis in range(mask.ndim) for sign in (-1, 1)]
    found = [place for place in np.argwhere(padded) if any(not padded[tuple(place + step)] for step in steps)]
    return np.array(found) * SPACINGS[mask.ndim]


def distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of all pairs the shortest for each point."""
    return np.sqrt(((points[:, None] - others[None]) ** 2).sum(axis=-1)).min(axis=1)


def contour(mask: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The elements of a 2-D outline, found square by square: corners of pixels in mm, and their lengths."""
    height, width = SPACINGS[2]
    half = math.hypot(height, width) / 2
    padded, places, lengths = np.pad(mask.numpy(), 1), [], []
    for row, column in itertools.product(*(range(size - 1) for size in padded.shape)):
        square = padded[row : row + 2, column : column + 2]
        if square.all() or not square.any():
            continue
        if (square[0] == square[1]).all():
            lengths.append(height)  # an upright line
        elif (square[:, 0] == square[:, 1]).all():
            lengths.append(width)
        else:
            lengths.append(2 * half if square.sum() == 2 else half)
        places.append((row * height, column * width))
    return np.array(places), np.array(lengths)


@pytest.mark.parametrize("predicted, truth", CASES)
def test_hausdorff_distance_is_that_of_all_pairs_of_distance_transforms_and_of_monai(
    predicted: Tensor, truth: Tensor
) -> None:
    spacing = SPACINGS[truth.ndim]
    ours = hausdorff_distance(predicted, truth, spacing_mm=spacing)
    first, second = surface_points(predicted), surface_points(truth)
    brute = max(np.percentile(distances(*pair), 95) for pair in ((first, second), (second, first)))
    assert ours == pytest.approx(brute, abs=1e-9)
    edges = [np.pad(mask.numpy(), 1) & ~ndimage.binary_erosion(np.pad(mask.numpy(), 1)) for mask in (predicted, truth)]
    far = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    transformed = max(np.percentile(far[1][edges[0]], 95), np.percentile(far[0][edges[1]], 95))
    assert ours == pytest.approx(transformed, abs=1e-9)
    monai = compute_hausdorff_distance(predicted[None, None], truth[None, None], percentile=95, spacing=list(spacing))
    assert ours == pytest.approx(monai.item(), abs=1e-6 * max(1, ours))
    assert hausdorff_distance(predicted, truth, spacing_mm=spacing, percentile=100) == pytest.approx(
        max(distances(first, second).max(), distances(second, first).max())
    )


@pytest.mark.parametrize("predicted, truth", CASES)
@pytest.mark.parametrize("tolerance", [0.0, 0.8, 2.0])
def test_surface_dice_is_monais_with_areas(predicted: Tensor, truth: Tensor, tolerance: float) -> None:
    spacing = SPACINGS[truth.ndim]
    ours = surface_dice(predicted, truth, spacing_mm=spacing, tolerance_mm=tolerance)
    monai = compute_surface_dice(
        predicted[None, None],
        truth[None, None],
        class_thresholds=[tolerance],
        include_background=True,
        spacing=list(spacing),
        use_subvoxels=True,
    )
    assert ours == pytest.approx(monai.item(), abs=1e-6)
    assert surface_dice(truth, predicted, spacing_mm=spacing, tolerance_mm=tolerance) == pytest.approx(ours)


@pytest.mark.parametrize("predicted, truth", pairs(2))
def test_surface_dice_of_slices_is_that_of_all_squares_of_pixels(predicted: Tensor, truth: Tensor) -> None:
    (first, first_lengths), (second, second_lengths) = contour(predicted), contour(truth)
    for tolerance in (0.0, 0.8, 2.0):
        close = first_lengths[distances(first, second) <= tolerance + 1e-9].sum()
        close += second_lengths[distances(second, first) <= tolerance + 1e-9].sum()
        ours = surface_dice(predicted, truth, spacing_mm=SPACINGS[2], tolerance_mm=tolerance)
        assert ours == pytest.approx(close / (first_lengths.sum() + second_lengths.sum()), abs=1e-6)


def test_elements_of_a_volume_weigh_as_their_area_by_hand() -> None:
    """One voxel that both have, and two on top of each other that were invented.

    Around each voxel are 8 elements, triangles that cut its corners off; around two there are 4 more between them,
    which stand upright.
    """
    truth = torch.zeros(9, 9, 9, dtype=torch.bool)
    truth[1, 1, 1] = True
    predicted = truth.clone()
    predicted[6:8, 6, 6] = True
    corners = 8 * math.sqrt((1 * 1) ** 2 + (3 * 1) ** 2 + (3 * 1) ** 2) / 8
    upright = 4 * 3 * math.hypot(1, 1) / 2
    expected = 2 * corners / (3 * corners + upright)
    ours = surface_dice(predicted, truth, spacing_mm=(3.0, 1.0, 1.0), tolerance_mm=1.0)
    assert ours == pytest.approx(expected, abs=1e-6)


SIDES = (
    3,
    6,
    4,
)  # of a block, in voxels; all different, as the spacings are, so that no two axes can be taken for another


def moved_blocks(axis: int) -> tuple[Tensor, Tensor]:
    """A block, and the same one voxel further along an axis."""
    first, second = (torch.zeros(8, 12, 10, dtype=torch.bool) for _ in range(2))
    for mask, start in ((first, [2, 3, 3]), (second, [2 + (axis == 0), 3 + (axis == 1), 3 + (axis == 2)])):
        mask[tuple(slice(begin, begin + side) for begin, side in zip(start, SIDES, strict=True))] = True
    return first, second


def block_elements(shift: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The surface of a block between 2 x 2 x 2 voxels, without any library: places in mm, and areas in mm2.

    In a face it is a rectangle, along an edge one that cuts the edge off, at a corner a triangle that cuts it off; both
    go through the middles between voxels.
    """
    steps = SPACINGS[3]
    places, areas = [], []
    for place in itertools.product(*(range(side + 1) for side in SIDES)):
        outer = [axis for axis in range(3) if place[axis] in (0, SIDES[axis])]
        inner = [axis for axis in range(3) if axis not in outer]
        if len(outer) == 1:
            areas.append(steps[inner[0]] * steps[inner[1]])
        elif len(outer) == 2:
            areas.append(steps[inner[0]] * math.hypot(steps[outer[0]], steps[outer[1]]) / 2)
        elif len(outer) == 3:
            areas.append(math.hypot(steps[0] * steps[1], steps[1] * steps[2], steps[2] * steps[0]) / 8)
        else:
            continue
        places.append([(at + by) * step for at, by, step in zip(place, shift, steps, strict=True)])
    return np.array(places), np.array(areas)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("tolerance", [0.0, 0.69, 0.71, 1.09, 1.11, 3.29, 3.31])
def test_surface_dice_of_a_block_moved_along_each_axis_is_that_by_hand(axis: int, tolerance: float) -> None:
    """With three different spacings, so that areas and distances must be those of their own axes."""
    truth, predicted = moved_blocks(axis)
    shift = [int(each == axis) for each in range(3)]
    (first, first_areas), (second, second_areas) = block_elements([0, 0, 0]), block_elements(shift)
    close = first_areas[distances(first, second) <= tolerance + 1e-9].sum()
    close += second_areas[distances(second, first) <= tolerance + 1e-9].sum()
    expected = close / (first_areas.sum() + second_areas.sum())
    ours = surface_dice(predicted, truth, spacing_mm=SPACINGS[3], tolerance_mm=tolerance)
    assert ours == pytest.approx(expected, abs=1e-6)
    assert (ours == 1) == (tolerance > SPACINGS[3][axis])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hausdorff_distance_of_a_block_moved_along_each_axis_is_that_by_hand(axis: int) -> None:
    """Voxels of the end that moved are one step away, and these are more than one in twenty."""
    truth, predicted = moved_blocks(axis)
    step, num_ends = SPACINGS[3][axis], math.prod(SIDES) // SIDES[axis]
    num_surface = math.prod(SIDES) - math.prod(side - 2 for side in SIDES)
    assert num_ends / num_surface > 0.05
    assert hausdorff_distance(predicted, truth, spacing_mm=SPACINGS[3]) == pytest.approx(step)
    assert hausdorff_distance(predicted, truth, spacing_mm=SPACINGS[3], percentile=100) == pytest.approx(step)
    inner = 100 * (1 - num_ends / num_surface) / 2  # a percentile among the voxels that both share
    assert hausdorff_distance(predicted, truth, spacing_mm=SPACINGS[3], percentile=inner) == 0


def test_counting_voxels_as_monai_does_by_itself_forgets_that_slices_are_thick() -> None:
    """The same two masks, in slices of 1 mm and of 9 mm: the share of the surface in the sides grows with them."""
    truth = torch.zeros(6, 12, 12, dtype=torch.bool)
    truth[1:5, 2:10, 2:10] = True
    predicted = truth.clone()
    predicted[:, 2:5] = False  # one of the sides is 3 mm off
    ours, counted = [], []
    for thickness in (1.0, 9.0):
        spacing = (thickness, 1.0, 1.0)
        ours.append(surface_dice(predicted, truth, spacing_mm=spacing, tolerance_mm=0.5))
        given = {"class_thresholds": [0.5], "include_background": True, "spacing": list(spacing)}
        counted.append(compute_surface_dice(predicted[None, None], truth[None, None], **given).item())
    assert counted[0] == counted[1]
    assert abs(ours[0] - ours[1]) > 0.02


def test_a_distance_of_exactly_the_tolerance_is_within_it() -> None:
    """In floating point 3 times 0.1 is a little above 0.3."""
    truth, moved = (torch.zeros(10, 12, dtype=torch.bool) for _ in range(2))
    truth[2:7, 2:7] = True
    moved[2:7, 5:10] = True
    assert surface_dice(moved, truth, spacing_mm=(0.1, 0.1), tolerance_mm=0.3) == 1.0
    assert surface_dice(moved, truth, spacing_mm=(0.1, 0.1), tolerance_mm=0.29) < 1.0


@pytest.mark.parametrize("axes", [2, 3])
def test_masks_that_are_empty_follow_one_rule(axes: int) -> None:
    spacing = SPACINGS[axes]
    empty, some = torch.zeros(SHAPES[axes], dtype=torch.bool), random_mask(0, axes)
    diagonal = math.sqrt(sum((length * step) ** 2 for length, step in zip(SHAPES[axes], spacing, strict=True)))
    assert diagonal_mm(SHAPES[axes], spacing) == pytest.approx(diagonal)
    for pair in ((empty, some), (some, empty)):
        assert volume_dice(*pair) == 0
        assert surface_dice(*pair, spacing_mm=spacing, tolerance_mm=1.0) == 0
        assert hausdorff_distance(*pair, spacing_mm=spacing) == pytest.approx(diagonal)
    assert math.isnan(volume_dice(empty, empty))
    assert math.isnan(surface_dice(empty, empty, spacing_mm=spacing, tolerance_mm=1.0))
    assert math.isnan(hausdorff_distance(empty, empty, spacing_mm=spacing))


@pytest.mark.filterwarnings("ignore:the (prediction|ground truth) of class")
def test_monai_leaves_invented_and_missed_objects_out() -> None:
    """So that they cost nothing, which is why the rule for empty masks is our own."""
    empty, some = torch.zeros(1, 1, *SHAPES[3], dtype=torch.bool), random_mask(0, 3)[None, None]
    assert compute_dice(some, empty).isnan().all() and volume_dice(some[0, 0], empty[0, 0]) == 0
    for pair in ((empty, some), (some, empty)):
        assert compute_hausdorff_distance(*pair, percentile=95).isnan().all()


@pytest.mark.parametrize("axes", [2, 3])
def test_equal_masks_agree(axes: int) -> None:
    for mask in (random_mask(5, axes), torch.ones(SHAPES[axes], dtype=torch.bool), one_voxel(axes, 0)):
        assert volume_dice(mask, mask) == 1
        assert surface_dice(mask, mask, spacing_mm=SPACINGS[axes], tolerance_mm=0) == 1
        assert hausdorff_distance(mask, mask, spacing_mm=SPACINGS[axes]) == 0


def test_dice_is_monais_where_both_have_voxels() -> None:
    for predicted, truth in pairs(3):
        expected = compute_dice(predicted[None, None], truth[None, None]).item()
        assert volume_dice(predicted, truth) == pytest.approx(expected, abs=1e-6)


def test_a_volume_is_counted_in_millilitres() -> None:
    mask = torch.zeros(10, 10, 10, dtype=torch.bool)
    mask[:5] = True
    assert volume_ml(mask, spacing_mm=(2.0, 1.0, 1.0)) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="`mask` \\(D, H, W\\)"):
        volume_ml(mask[0], spacing_mm=(1.0, 1.0))


def test_what_does_not_fit_is_refused() -> None:
    mask = random_mask(0, 3)
    with pytest.raises(ValueError, match="of one shape"):
        volume_dice(mask, mask[1:])
    with pytest.raises(ValueError, match="of bool"):
        hausdorff_distance(mask.float(), mask, spacing_mm=(1, 1, 1))
    for spacing in ((1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, math.inf)):
        with pytest.raises(ValueError, match="`spacing_mm` of 3 lengths above 0"):
            surface_dice(mask, mask, spacing_mm=spacing, tolerance_mm=1.0)
    with pytest.raises(ValueError, match="`tolerance_mm` of at least 0"):
        surface_dice(mask, mask, spacing_mm=(1, 1, 1), tolerance_mm=-1.0)
