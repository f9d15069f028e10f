"""A look at an image volume and its label volume: headers, voxels, and some slices."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import HeaderDataError, SpatialImage

from sam_ft.data.nifti.grid import PLANES, SliceGrid, refuse_other_grid
from sam_ft.data.nifti.headers import distance_of_affines
from sam_ft.data.nifti.reading import grid_of, num_time_points, open_volume, read_voxels
from sam_ft.data.nifti.stored import window_of
from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Found
from sam_ft.doctor.intensities import image_facts
from sam_ft.doctor.seen import GridFacts, LabelFacts, Problem, Seen, UnusableError, View
from sam_ft.transforms import percentile_range, rescale

SLICES = 8
"""Slices with labels of each volume in which objects are looked for, spread evenly."""
_TOLERANCE = 1e-3
"""As `sam_ft.data.nifti.reading` rounds labels that are stored as floating point."""


def look_at_volume(case: Case, inventory: Inventory) -> Seen:
    """The facts of both files, and pictures of slices that hold an object."""
    problems: list[Problem] = []
    if case.image is None:
        return Seen(case)
    try:
        image = open_volume(case.image)
        if num_time_points(image) > 1 and inventory.volume_index is None:
            problems.append(Problem("series", Found(str(case.image), f"its shape is {image.shape}")))
            return Seen(case, problems=tuple(problems))
        grid = grid_of(image, path=case.image, plane=inventory.axis)
    except ValueError as err:
        problems.append(Problem("unreadable_image", Found(str(case.image), _one_line(err))))
        return Seen(case, problems=tuple(problems))
    placed = _grid_facts(image, grid)
    labels = None  # (slices, rows, columns)
    if case.label is not None:
        try:
            labels = _read_labels(case.label, grid)
        except UnusableError as err:
            problems.append(err.problem)
    try:
        voxels = read_voxels(image, path=case.image, volume_index=inventory.volume_index)
    except ValueError as err:
        problems.append(Problem("unreadable_image", Found(str(case.image), _one_line(err))))
        return Seen(case, grid=placed, problems=tuple(problems))
    facts = image_facts(voxels, picture=None)
    label_facts, chosen = (None, {}) if labels is None else _objects(labels, grid, inventory)
    views: tuple[View, ...] = ()
    if chosen and facts.high > facts.low:
        low, high = _shown_range(voxels, window_of(image) if inventory.window == "file" else inventory.window)
        planes = grid.planes(grid.to_canonical(voxels))
        views = tuple(
            View(f"{case.name}, {grid.plane} {index}", _picture(planes[index], grid, low, high), shown)
            for index, shown in chosen.items()
        )
    return Seen(case, image=facts, label=label_facts, grid=placed, problems=tuple(problems), views=views)


def _grid_facts(image: SpatialImage, grid: SliceGrid) -> GridFacts:
    try:
        apart = distance_of_affines(image)
    except (ValueError, HeaderDataError):
        apart = None  # the reader says so, and takes nibabel's affine
    is_placed = True
    if isinstance(image, Nifti1Image):
        is_placed = int(image.header["sform_code"]) > 0 or int(image.header["qform_code"]) > 0
    spacing = grid.canonical_spacing_mm
    sides = [spacing[axis] for axis in range(3) if axis != PLANES[grid.plane]]
    axes = "".join(nibabel.aff2axcodes(grid.affine))
    return GridFacts(axes, spacing, apart, is_placed=is_placed, in_plane=max(sides) / min(sides))


def _read_labels(path: Path, grid: SliceGrid) -> np.ndarray:
    """(slices, rows, columns) whole numbers of 0 and above.

    Raises:
        UnusableError: The file holds something else, lies on another grid, or cannot be read.
    """
    try:
        label = open_volume(path)
        own = grid_of(label, path=path, plane=grid.plane)
    except ValueError as err:
        raise UnusableError("unreadable_label", path, _one_line(err)) from err
    if own.canonical_shape != grid.canonical_shape:
        sizes = f"{own.canonical_shape}, but its image {grid.path.name} {grid.canonical_shape}"
        raise UnusableError("size_mismatch", path, sizes)
    try:
        refuse_other_grid(grid, own)
    except ValueError as err:
        raise UnusableError("other_grid", path, _one_line(err).partition(", but ")[2]) from err
    try:
        voxels = read_voxels(label, path=path)
    except ValueError as err:
        raise UnusableError("unreadable_label", path, _one_line(err)) from err
    if not np.issubdtype(voxels.dtype, np.integer):
        with np.errstate(invalid="ignore"):
            is_whole = bool((np.abs(voxels - np.rint(voxels)) <= _TOLERANCE).all())
        if not is_whole:
            raise UnusableError("fractional_label", path, f"from {np.nanmin(voxels):g} to {np.nanmax(voxels):g}")
        voxels = np.rint(voxels)
    if voxels.min() < 0:
        raise UnusableError("negative_label", path, f"down to {voxels.min():g}")
    whole = voxels.astype(np.min_scalar_type(int(voxels.max())))
    return grid.planes(own.to_canonical(whole))


def _objects(labels: np.ndarray, grid: SliceGrid, inventory: Inventory) -> tuple[LabelFacts, dict[int, np.ndarray]]:
    """Facts of all values of a volume and of the objects in some slices; index of a slice -> its objects painted."""
    values, counts = np.unique(labels, return_counts=True)
    by_value = {int(value): int(count) for value, count in zip(values, counts, strict=True) if value > 0}
    occupied = np.flatnonzero(labels.any(axis=(1, 2)))
    count = min(SLICES, len(occupied))
    chosen = [int(occupied[(2 * turn + 1) * len(occupied) // (2 * count)]) for turn in range(count)]
    # What is connected in the volume only, kind components_3d, is looked at as what is connected in the slice.
    rule = inventory.rule.in_slices()
    areas: list[int] = []
    painted = {}
    for index in chosen:
        shown = np.zeros(grid.picture_size, dtype=np.int64)
        found = [mask for _, mask in rule.every_object(grid.labels_to_picture(labels[index]))]
        sizes = [int(np.count_nonzero(mask)) for mask in found]
        for number in sorted(range(len(found)), key=lambda place: -sizes[place]):
            shown[found[number]] = number + 1
        areas += sizes
        painted[index] = shown
    facts = LabelFacts(by_value, pieces={}, areas=np.array(areas, dtype=np.int64), longest=max(grid.picture_size))
    return facts, painted


def _shown_range(voxels: np.ndarray, window: tuple[float, float] | None) -> tuple[float, float]:
    """The intensities that are shown black and white."""
    if window is None:
        return percentile_range(voxels)
    level, width = window
    return level - width / 2, level + width / 2


def _picture(plane: np.ndarray, grid: SliceGrid, low: float, high: float) -> np.ndarray:
    """(H, W, 3) uint8."""
    grey = grid.image_to_picture(rescale(plane, low=low, high=high))
    return np.repeat(grey[..., None], 3, axis=-1)


def _one_line(err: ValueError) -> str:
    return " ".join(str(err).split())
