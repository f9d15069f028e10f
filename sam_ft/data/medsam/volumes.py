"""Volumes in the `.npz` archives of MedSAM's prepared data: `imgs` and `gts`, with `spacing` (x, y, z) in mm.

An array is (slices, rows, columns), as SimpleITK gives it; `imgs` may have red, green and blue at the end. Nothing says
how the patient lies: rows are taken to run to the back, columns to the patient's left and slices upwards, as in most
scans, so that axial slices look as they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sam_ft.data.numpy_files import npz_header, read_npz
from sam_ft.data.volumes.cases import VolumeFile
from sam_ft.data.volumes.grid import SliceGrid
from sam_ft.data.volumes.identity import FileIdentity
from sam_ft.data.volumes.scaling import Scaling, as_integer_labels
from sam_ft.data.volumes.sources import ImageSource, LabelSource

_READ_AS: dict[str, np.dtype] = {"bool": np.dtype(np.uint8), "float16": np.dtype(np.float32)}
"""Types that are too small to calculate with."""


@dataclass(frozen=True, eq=False)
class ArchiveVolume:
    """The array `imgs` of an archive, or one colour of it; see `sam_ft.data.volumes.stored.StoredVolume`."""

    path: Path
    volume_index: int | None  # 0, 1, 2: red, green, blue; None: it is grey
    identity: FileIdentity
    scaling: Scaling = Scaling()
    mapped: bool = False
    window: tuple[float, float] | None = None

    def read(self) -> np.ndarray:
        """(columns, rows, slices) numbers; raises as `read_npz`."""
        imgs = read_npz(self.path, "imgs")
        return _turned(imgs if self.volume_index is None else imgs[..., self.volume_index])


def open_archive_image(file: VolumeFile, *, plane: str) -> ImageSource:
    """The image of an archive of a volume, whose numbers are not read.

    Raises:
        ValueError: No such archive or array, or no spacing of three numbers above 0.
    """
    slices, rows, columns = npz_header(file.path, "imgs").shape[:3]
    x, y, z = _spacing_of(file.path)
    grid = SliceGrid(file.path, shape=(columns, rows, slices), affine=np.diag([-x, -y, z, 1.0]), plane=plane)
    return ImageSource(grid, ArchiveVolume(file.path, file.volume_index, FileIdentity.of([file.path])))


def open_archive_label(path: Path, grid: SliceGrid) -> LabelSource:
    """The array `gts` of an archive, which `open_archive` found to be of its image's shape."""
    return LabelSource(path, grid, FileIdentity.of([path]), partial(_read_labels, path))


def _read_labels(path: Path, *, image_grid: SliceGrid) -> np.ndarray:
    """Integer labels in RAS+ orientation; raises as `read_npz` and `as_integer_labels`."""
    labels = as_integer_labels(_turned(read_npz(path, "gts")), path=path)
    return np.ascontiguousarray(image_grid.to_canonical(labels))


def _turned(array: np.ndarray) -> np.ndarray:
    """(slices, rows, columns) -> (columns, rows, slices), of a type that can be calculated with."""
    return array.astype(_READ_AS.get(array.dtype.name, array.dtype), copy=False).transpose(2, 1, 0)


def _spacing_of(path: Path) -> tuple[float, float, float]:
    """(x, y, z) distance between voxels in mm, as an archive says."""
    if npz_header(path, "spacing").shape != (3,):
        raise ValueError(f"Expected `spacing` (x, y, z) in {path}, but got shape {npz_header(path, 'spacing').shape}.")
    x, y, z = (float(distance) for distance in read_npz(path, "spacing"))
    if not all(0 < distance < np.inf for distance in (x, y, z)):
        raise ValueError(f"Expected `spacing` (x, y, z) above 0 in {path}, but got {(x, y, z)}.")
    return x, y, z
