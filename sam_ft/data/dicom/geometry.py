"""Slices in their order, and where they lie in the patient; what is no regular grid is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_ft.data.dicom.slices import DicomSlice

_SAME_DIRECTION = 1e-3
_SAME_SPACING_MM = 1e-3
_SAME_PLACE_MM = 1e-3
_MOST_TILT_DEGREES = 0.1
_MOST_OFF = 0.05
"""How far a slice may lie from its place in the stack, as a share of the distance between slices."""


@dataclass(frozen=True)
class Stack:
    """The slices of a volume in their order along the normal."""

    slices: tuple[DicomSlice, ...]
    affine: np.ndarray  # (4, 4) (column, row, slice) to mm, RAS+

    @property
    def shape(self) -> tuple[int, int, int]:
        """(columns, rows, slices)."""
        rows, columns = self.slices[0].layout.size
        return columns, rows, len(self.slices)


def stack_of(slices: Sequence[DicomSlice]) -> Stack:
    """Sorts slices by their position along the normal.

    The affine is nibabel's: it gives millimetres to the right, to the front and to the head, where DICOM counts to
    the left, to the back and to the head.

    Raises:
        ValueError: Slices of different sizes, spacings or directions, two at one place, missing ones, uneven
            distances, or slices that are shifted against each other (a tilted gantry); files are named.

    Source: DICOM PS3.3 C.7.6.2.1.1.
    """
    first = slices[0]
    for other in slices[1:]:
        _expect_same_plane(first, other)
    normal = np.cross(first.along_row, first.along_column)
    ordered = sorted(slices, key=lambda one: float(one.position @ normal))
    step = _step(ordered, normal)
    lps = np.eye(4)
    lps[:3, 0] = first.along_row * first.spacing_mm[1]
    lps[:3, 1] = first.along_column * first.spacing_mm[0]
    lps[:3, 2] = step
    lps[:3, 3] = ordered[0].position
    return Stack(tuple(ordered), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def _expect_same_plane(first: DicomSlice, other: DicomSlice) -> None:
    """Refuse another size, spacing or direction."""
    for what, one, two, tolerance in (
        ("rows and columns", first.layout.size, other.layout.size, 0.0),
        ("PixelSpacing", first.spacing_mm, other.spacing_mm, _SAME_SPACING_MM),
        ("direction of rows", first.along_row, other.along_row, _SAME_DIRECTION),
        ("direction of columns", first.along_column, other.along_column, _SAME_DIRECTION),
    ):
        if not np.allclose(one, two, rtol=0, atol=tolerance):
            raise ValueError(
                f"Expected slices of one {what} in a series, but {first.path} has {np.round(one, 4).tolist()} and "
                f"{other.path} {np.round(two, 4).tolist()}."
            )


def _step(ordered: Sequence[DicomSlice], normal: np.ndarray) -> np.ndarray:
    """(3,) mm from slice to slice."""
    if len(ordered) == 1:
        thickness = ordered[0].thickness_mm
        if not thickness or thickness <= 0:
            raise ValueError(f"Expected two slices or more, or a SliceThickness, but {ordered[0].path} lies alone.")
        return normal * thickness
    places = np.array([one.position @ normal for one in ordered])
    distances = np.diff(places)
    _expect_no_double(ordered, distances)
    step = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
    usual = float(np.median(distances))
    for index in np.flatnonzero(distances > 1.5 * usual).tolist():
        raise ValueError(
            f"Expected slices {usual:.4g} mm apart, but none lies in the {distances[index]:.4g} mm between "
            f"{ordered[index].path} and {ordered[index + 1].path}: slices are missing."
        )
    _expect_upright(ordered, step, normal)
    off = np.abs(places - places[0] - np.arange(len(places)) * (step @ normal)) / usual
    if off.max() > _MOST_OFF:
        worst = int(off.argmax())
        raise ValueError(
            f"Expected even distances between slices, but they are from {distances.min():.4g} to "
            f"{distances.max():.4g} mm; {ordered[worst].path} lies {off[worst]:.2g} slices from its place."
        )
    return step


def _expect_no_double(ordered: Sequence[DicomSlice], distances: np.ndarray) -> None:
    for index in np.flatnonzero(distances < _SAME_PLACE_MM).tolist():
        one, two = ordered[index], ordered[index + 1]
        raise ValueError(
            f"Expected one slice at each place, but {_named(one)} and {_named(two)} lie at the same one "
            f"({np.count_nonzero(distances < _SAME_PLACE_MM)} such pairs): a series of several times or echoes?"
        )


def _expect_upright(ordered: Sequence[DicomSlice], step: np.ndarray, normal: np.ndarray) -> None:
    """Refuse slices that are shifted against each other, all in one direction or each in its own."""
    tilt = np.degrees(np.arctan2(np.linalg.norm(np.cross(step, normal)), step @ normal))
    if tilt > _MOST_TILT_DEGREES:
        raise ValueError(
            f"Expected slices stacked at right angles, but from {ordered[0].path} to {ordered[-1].path} they run "
            f"{tilt:.3g} degrees aslant (gantry tilt): resample the series first."
        )
    pixel_mm = min(ordered[0].spacing_mm)
    for index, one in enumerate(ordered):
        shift = one.position - ordered[0].position - index * step
        aside = float(np.linalg.norm(shift - (shift @ normal) * normal))
        if aside > pixel_mm / 2:
            raise ValueError(
                f"Expected slices straight above each other, but {_named(one)} is shifted by {aside:.3g} mm."
            )


def _named(one: DicomSlice) -> str:
    return f"{one.path}" if one.frame is None else f"frame {one.frame} of {one.path}"
