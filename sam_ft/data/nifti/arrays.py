"""Volumes that lie as arrays in a `.npz` archive, opened as nibabel opens a file; MedSAM's prepared data.

An array has the path `CASE.npz/KEY.npy`. It is (slices, rows, columns), as SimpleITK gives it, or the same with
channels at the end. The archive's `spacing` is (x, y, z) in mm. Nothing says how the patient lies: rows are taken to
run to the back, columns to the patient's left and slices upwards, as in most scans, so that axial slices look as they
are stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import SpatialImage

from sam_ft.data.numpy_files import npz_header, read_npz

_AXES = (2, 1, 0)
"""Columns, rows, slices: the order of NIfTI."""
_STORED_AS: dict[str, np.dtype] = {"bool": np.dtype(np.uint8), "float16": np.dtype(np.float32)}
"""Types that NIfTI does not know."""


def is_array_path(path: Path) -> bool:
    """Whether a path means an array in an archive."""
    return path.suffix == ".npy" and path.parent.suffix.lower() == ".npz"


def open_array(path: Path) -> SpatialImage:
    """Grid and type of an array, and a promise of its numbers, which are not read.

    Raises:
        ValueError: No such archive or array, not of 3 or 4 dimensions, or no spacing of three numbers above 0.
    """
    header = npz_header(path.parent, path.stem)
    if len(header.shape) not in (3, 4):
        raise ValueError(f"Expected a volume of 3 dimensions in {path}, but its shape is {header.shape}.")
    across, down, along = spacing_of(path.parent)
    promise: Any = _Promise(path, (*(header.shape[axis] for axis in _AXES), *header.shape[3:]), header.dtype)
    file_map = {"image": nibabel.FileHolder(filename=str(path.parent))}
    return SpatialImage(promise, np.diag([-across, -down, along, 1.0]), file_map=file_map)


def spacing_of(path: Path) -> tuple[float, float, float]:
    """(x, y, z) distance between voxels in mm, as an archive says.

    Raises:
        ValueError: It says none, or something else than three numbers above 0.
    """
    if npz_header(path, "spacing").shape != (3,):
        raise ValueError(f"Expected `spacing` (x, y, z) in {path}, but got shape {npz_header(path, 'spacing').shape}.")
    x, y, z = (float(distance) for distance in read_npz(path, "spacing"))
    if not all(0 < distance < np.inf for distance in (x, y, z)):
        raise ValueError(f"Expected `spacing` (x, y, z) above 0 in {path}, but got {(x, y, z)}.")
    return x, y, z


class _Promise:
    """What nibabel asks of an array that is not in memory."""

    is_proxy = True

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path = path
        self.shape = shape
        self.ndim = len(shape)
        self.dtype = _STORED_AS.get(dtype.name, dtype.newbyteorder("="))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = read_npz(self.path.parent, self.path.stem)
        wanted: np.dtype = self.dtype if dtype is None else np.dtype(dtype)
        return array.transpose(*_AXES, *range(3, array.ndim)).astype(wanted, copy=False)

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self)[index]
