"""What the headers of volumes say: orientation, spacing, two affines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sam_ft.data.volumes.grid import PLANES
from sam_ft.doctor.cases import Inventory
from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.seen import GridFacts, Seen

ANISOTROPIC = 3.0
_USUAL_MM = (0.01, 20.0)
_UNEQUAL_SPACING = 3.0

Grids = Sequence[tuple[str, GridFacts]]


def check_grids(seen: Sequence[Seen], inventory: Inventory) -> Iterator[Finding]:
    """Of all volumes whose headers could be read."""
    placed = [(each.where, each.grid) for each in seen if each.grid is not None]
    grids = list(dict.fromkeys(placed))  # of a file of several channels once
    labels = [(str(each.case.label), each.label_apart) for each in seen if each.label_apart is not None]
    yield from _two_affines([*((where, grid.apart) for where, grid in grids if grid.apart is not None), *labels])
    yield from _no_place(grids)
    yield from _spacing(grids)
    yield from _anisotropic(grids, inventory.axis)
    yield from _orientations([(where, grid) for where, grid in grids if grid.is_placed])


def _two_affines(apart: Sequence[tuple[str, tuple[float, float]]]) -> Iterator[Finding]:
    found = tuple(Found(where, f"{mm:.3g} mm and {degrees:.3g} degrees apart") for where, (mm, degrees) in apart)
    if found:
        text = f"{counted(len(found), 'volume')} whose qform and sform place the voxels differently."
        advice = "The sform is used. Other programs may use the qform: set both to the right one."
        yield Finding("two_affines", Severity.WARNING, text, advice, found)


def _no_place(grids: Grids) -> Iterator[Finding]:
    if found := tuple(Found(where, f"taken as {grid.axes}") for where, grid in grids if not grid.is_placed):
        text = f"{counted(len(found), 'volume')} without orientation: neither qform nor sform is set."
        advice = "Left and right, and the slices' plane, are a guess: write the affine, or convert from DICOM again."
        yield Finding("no_orientation", Severity.WARNING, text, advice, found)


def _spacing(grids: Grids) -> Iterator[Finding]:
    found = tuple(
        Found(where, f"{_as_text(grid)} mm")
        for where, grid in grids
        if not all(_USUAL_MM[0] <= length <= _USUAL_MM[1] for length in grid.spacing_mm)
    )
    if found:
        text = f"{counted(len(found), 'volume')} with voxels of an unlikely size: perhaps not in mm."
        yield Finding("odd_spacing", Severity.WARNING, text, "Write the spacing in mm into the header.", found)
    finest = [min(grid.spacing_mm) for _, grid in grids]
    if grids and max(finest) >= _UNEQUAL_SPACING * min(finest):
        ends = [grids[finest.index(value)] for value in (min(finest), max(finest))]
        text = f"Very unequal resolutions: the finest spacing is {min(finest):.3g} mm here, {max(finest):.3g} mm there."
        found = tuple(Found(where, f"{_as_text(grid)} mm") for where, grid in ends)
        yield Finding("unequal_spacing", Severity.NOTE, text, "The same organ has another size in pixels there.", found)


def _anisotropic(grids: Grids, axis: str) -> Iterator[Finding]:
    found = tuple(
        Found(where, f"{_as_text(grid)} mm; best: {best_axis(grid)}")
        for where, grid in grids
        if grid.in_plane >= ANISOTROPIC and best_axis(grid) != axis
    )
    if found:
        best = Counter(best_axis(grid) for where, grid in grids if grid.in_plane >= ANISOTROPIC).most_common(1)[0][0]
        text = (
            f"{counted(len(found), 'volume')} whose {axis} slices have pixels more than {ANISOTROPIC:g} times as long "
            "as wide; they are stretched."
        )
        advice = f"Take the plane of the finest pixels: data.axis={best}."
        yield Finding("anisotropic", Severity.WARNING, text, advice, found)


def best_axis(grid: GridFacts) -> str:
    """The plane whose slices have the finest pixels: across the coarsest spacing."""
    coarsest = max(range(3), key=lambda axis: grid.spacing_mm[axis])
    return next(plane for plane, axis in PLANES.items() if axis == coarsest)


def _orientations(grids: Grids) -> Iterator[Finding]:
    times = Counter(grid.axes for _, grid in grids)
    if len(times) > 1:
        usual = times.most_common(1)[0][0]
        found = tuple(Found(where, grid.axes) for where, grid in grids if grid.axes != usual)
        listed = ", ".join(f"{axes} in {count:,}" for axes, count in times.most_common())
        text = f"Volumes are stored in different orientations: {listed}."
        advice = "All are turned to RAS+ by their headers; look at the pictures to see whether the headers are right."
        yield Finding("mixed_orientations", Severity.NOTE, text, advice, found)


def _as_text(grid: GridFacts) -> str:
    return " x ".join(f"{length:.3g}" for length in grid.spacing_mm)
