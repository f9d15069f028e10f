"""A look at an image volume and its label volume: headers, voxels, and some slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import HeaderDataError, SpatialImage

from sam_ft.data.nifti.headers import distance_of_affines
from sam_ft.data.nifti.reading import grid_of, num_time_points, open_volume, read_voxels
from sam_ft.data.nifti.volume import NiftiVolume
from sam_ft.data.volumes.grid import PLANES, SliceGrid, refuse_other_grid
from sam_ft.data.volumes.scaling import as_integer_labels
from sam_ft.data.volumes.sources import ImageSource
from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Found
from sam_ft.doctor.intensities import image_facts
from sam_ft.doctor.seen import GridFacts, LabelFacts, Problem, Seen, UnusableError, View
from sam_ft.transforms import percentile_range, rescale

SLICES = 8
"""Slices with labels of each volume in which objects are looked for, spread evenly."""


def look_at_volume(case: Case, inventory: Inventory) -> Seen:
    """The facts of image and label, and pictures of slices that hold an object."""
    problems: list[Problem] = []
    try:
        image, placed = _opened(case, inventory)
    except UnusableError as err:
        return Seen(case, problems=(err.problem,))
    labels = None  # (slices, rows, columns)
    try:
        labels = _labels_of(case, image.grid)
    except UnusableError as err:
        problems.append(err.problem)
    try:
        voxels = image.stored.scaling(image.stored.read())
    except ValueError as err:
        problems.append(Problem("unreadable_image", Found(str(image.path), _one_line(err))))
        return Seen(case, grid=placed, problems=tuple(problems))
    facts = image_facts(voxels, picture=None)
    label_apart = None if labels is None or case.label is None or case.opened else _apart(open_volume(case.label))
    label_facts, chosen = (None, {}) if labels is None else _objects(labels, image.grid, inventory)
    views: tuple[View, ...] = ()
    if chosen and facts.high > facts.low:
        views = tuple(_views(voxels, image, chosen, title=case.name, window=inventory.window))
    return Seen(
        case,
        image=facts,
        label=label_facts,
        grid=placed,
        label_apart=label_apart,
        problems=tuple(problems),
        views=views,
    )


def _opened(case: Case, inventory: Inventory) -> tuple[ImageSource, GridFacts]:
    """The image, whose voxels are not read, and what is known of its place.

    Raises:
        UnusableError: The file cannot be read, or holds a series of which no volume is chosen.
    """
    if case.opened is not None:
        return case.opened.image, _facts_of_grid(case.opened.image.grid)
    path = case.image
    if path is None:
        raise UnusableError("unreadable_image", Path(case.name), "there is no file")
    try:
        image = open_volume(path)
        if num_time_points(image) > 1 and case.volume_index is None:
            raise UnusableError("series", path, f"its shape is {image.shape}")
        grid = grid_of(image, path=path, plane=inventory.axis)
        return ImageSource(
            grid, NiftiVolume.of(image, path=grid.path, volume_index=case.volume_index)
        ), _facts_of_header(image, grid)
    except ValueError as err:
        raise UnusableError("unreadable_image", path, _one_line(err)) from err


def _facts_of_header(image: SpatialImage, grid: SliceGrid) -> GridFacts:
    """Of a file that nibabel opened, which may place its voxels in two ways or in none."""
    is_placed = True
    if isinstance(image, Nifti1Image):
        is_placed = int(image.header["sform_code"]) > 0 or int(image.header["qform_code"]) > 0
    return _facts_of_grid(grid, apart=_apart(image), is_placed=is_placed)


def _apart(image: SpatialImage) -> tuple[float, float] | None:
    """mm and degrees between qform and sform; None where they agree, one is missing, or the qform makes no sense."""
    try:
        return distance_of_affines(image)
    except (ValueError, HeaderDataError):
        return None  # the reader says so, and takes nibabel's affine


def _facts_of_grid(grid: SliceGrid, *, apart: tuple[float, float] | None = None, is_placed: bool = True) -> GridFacts:
    spacing = grid.canonical_spacing_mm
    sides = [spacing[axis] for axis in range(3) if axis != PLANES[grid.plane]]
    axes = "".join(nibabel.aff2axcodes(grid.affine))
    return GridFacts(axes, spacing, apart, is_placed=is_placed, in_plane=max(sides) / min(sides))


def _labels_of(case: Case, grid: SliceGrid) -> np.ndarray | None:
    """(slices, rows, columns) whole numbers of 0 and above; None where another volume of the case has the label.

    Raises:
        UnusableError: The file holds something else, lies on another grid, or cannot be read.
    """
    if case.opened is None:
        return None if case.label is None else _read_labels(case.label, grid)
    label = case.opened.label
    if label is None:
        return None
    try:
        return grid.planes(label.read(image_grid=grid))
    except ValueError as err:
        raise UnusableError("unreadable_label", label.path, _one_line(err)) from err


def _read_labels(path: Path, grid: SliceGrid) -> np.ndarray:
    """As `_labels_of`, of a file that nibabel opens."""
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
    try:
        whole = as_integer_labels(voxels, path=path)
    except ValueError as err:
        raise UnusableError(*_not_whole(voxels, path, err)) from err
    return grid.planes(own.to_canonical(whole))


def _not_whole(voxels: np.ndarray, path: Path, err: ValueError) -> tuple[str, Path, str]:
    """The code of what the reader refuses, the file, and what is the matter."""
    is_whole = bool((voxels == np.rint(voxels)).all())
    if is_whole and voxels.min() < 0:
        return "negative_label", path, f"down to {voxels.min():g}"
    if is_whole:
        return "unreadable_label", path, _one_line(err)
    return "fractional_label", path, f"from {np.nanmin(voxels):g} to {np.nanmax(voxels):g}"


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


def _views(
    voxels: np.ndarray,
    image: ImageSource,
    chosen: Mapping[int, np.ndarray],
    *,
    title: str,
    window: tuple[float, float] | Literal["file"] | None,
) -> Iterator[View]:
    """Pictures of some slices, with their objects painted."""
    grid = image.grid
    low, high = _shown_range(voxels, image.stored.window if window == "file" else window)
    planes = grid.planes(grid.to_canonical(voxels))
    for index, shown in chosen.items():
        yield View(f"{title}, {grid.plane} {index}", _picture(planes[index], grid, low, high), shown)


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
