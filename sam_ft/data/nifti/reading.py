"""Reading NIfTI files: headers, scaled intensities, integer labels; every error names the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import HeaderDataError, SpatialImage

from sam_ft.data.nifti.extensions import refuse_impossible_extensions
from sam_ft.data.nifti.headers import affine_mm, refuse_claims_beyond_the_file, why_unreadable
from sam_ft.data.nifti.inflating import DAMAGED, inflate
from sam_ft.data.volumes.grid import SliceGrid, refuse_other_grid
from sam_ft.data.volumes.scaling import Scaling, as_integer_labels
from sam_ft.files import is_file

_UNREADABLE = (ImageFileError, HeaderDataError, ValueError, OverflowError, TypeError, struct.error, *DAMAGED)


def open_volume(path: Path) -> SpatialImage:
    """The file's header and a promise of its voxels, which are not read.

    Raises:
        ValueError: Missing, not an image that nibabel knows, an affine that cannot be inverted, or a header that
            claims more voxels than the file can hold.
    """
    if not is_file(path):
        raise ValueError(f"Expected a volume at {path}, but there is no such file.")
    refuse_impossible_extensions(path)
    try:
        image: Any = nibabel.load(path)
    except _UNREADABLE as err:
        raise ValueError(f"Expected a NIfTI volume in {path}, but {why_unreadable(path, err)}.") from err
    affine = getattr(image, "affine", None)
    if affine is None or not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise ValueError(f"Expected {path} to have an affine that can be inverted, but got {affine}.")
    if image.get_data_dtype().kind not in "biuf":
        raise ValueError(f"Expected one real number per voxel in {path}, but got {image.get_data_dtype()}.")
    if any(length < 1 for length in image.shape):
        raise ValueError(f"Expected at least one voxel in {path}, but its shape is {image.shape}.")
    refuse_claims_beyond_the_file(image, path=path)
    return image


def num_time_points(image: SpatialImage) -> int:
    """1 for a volume, the length of a series beyond the third dimension (4-D and up)."""
    return int(np.prod(image.shape[3:]))


def grid_of(image: SpatialImage, *, path: Path, plane: str) -> SliceGrid:
    """The grid of a volume or of a series, cut into slices of `plane`.

    Raises:
        ValueError: Fewer than three dimensions, or an unknown plane.
    """
    if len(image.shape) < 3:
        raise ValueError(f"Expected a volume of 3 dimensions in {path}, but its shape is {image.shape}.")
    depth, height, width = image.shape[:3]
    affine = affine_mm(image, np.array(image.affine, float))
    return SliceGrid(path=path, shape=(depth, height, width), affine=affine, plane=plane)


def scaling_of(image: SpatialImage) -> Scaling:
    """The scaling that `read_stored` leaves to be done."""
    proxy: Any = image.dataobj
    return Scaling(float(proxy.slope), float(proxy.inter)) if isinstance(proxy, ArrayProxy) else Scaling()


def read_stored(image: SpatialImage, *, path: Path, volume_index: int | None = None) -> np.ndarray:
    """(X, Y, Z) numbers as the file stores them, before `scaling_of`.

    Raises:
        ValueError: A truncated file or a wrong checksum; a 4-D series without `volume_index`, or one out of range.
    """
    position = _position(image, path=path, volume_index=volume_index)
    proxy: Any = image.dataobj
    try:
        if isinstance(image, Nifti1Image) and isinstance(proxy, ArrayProxy) and path.suffix.lower() == ".gz":
            return _inflated(proxy, path=path, position=position)
        if isinstance(proxy, ArrayProxy):
            return np.asanyarray(proxy.get_unscaled()[(..., *position)])
        return np.asanyarray(proxy[(..., *position)])
    except _UNREADABLE as err:
        raise ValueError(f"Expected to read the voxels of {path}, but the file is damaged: {err}") from err


def read_voxels(image: SpatialImage, *, path: Path, volume_index: int | None = None) -> np.ndarray:
    """(X, Y, Z) voxels of the file, with its slope and intercept applied; raises as `read_stored`."""
    return scaling_of(image)(read_stored(image, path=path, volume_index=volume_index))


def _position(image: SpatialImage, *, path: Path, volume_index: int | None) -> tuple[int, ...]:
    """Where a volume lies in the dimensions beyond the third."""
    num_volumes = num_time_points(image)
    if num_volumes > 1 and volume_index is None:
        raise ValueError(
            f"Expected a volume of 3 dimensions in {path}, but its shape is {image.shape}; "
            f"choose one volume of the series with volume_index=0 ... {num_volumes - 1}."
        )
    index = volume_index if num_volumes > 1 and volume_index is not None else 0
    if not 0 <= index < num_volumes:
        raise ValueError(f"Expected `volume_index` from 0 to {num_volumes - 1} for {path}, but got {index}.")
    return tuple(int(part) for part in np.unravel_index(index, image.shape[3:])) if image.shape[3:] else ()


def _inflated(proxy: ArrayProxy, *, path: Path, position: tuple[int, ...]) -> np.ndarray:
    """(X, Y, Z) one volume of a gzip file, in the order of the file (the first axis runs fastest)."""
    shape, series = proxy.shape[:3], proxy.shape[3:]
    num_bytes = math.prod(shape) * proxy.dtype.itemsize
    before = int(np.ravel_multi_index(position, series, order="F")) if series else 0
    after = math.prod(series) - before - 1
    offset = int(proxy.offset) + before * num_bytes
    content = inflate(path, offset=offset, num_bytes=num_bytes, following=after * num_bytes)
    return content.view(proxy.dtype).reshape(shape, order="F")


def read_labels(path: Path, *, image_grid: SliceGrid) -> np.ndarray:
    """A label volume as the smallest integer type that holds it, in RAS+ orientation.

    Values within 0.001 of integers are rounded (files that store labels as floating point).

    Raises:
        ValueError: Not on `image_grid`, not integers, negative, or not finite.
    """
    label = open_volume(path)
    grid = grid_of(label, path=path, plane=image_grid.plane)
    refuse_other_grid(image_grid, grid)
    return np.ascontiguousarray(grid.to_canonical(as_integer_labels(read_voxels(label, path=path), path=path)))


def load_medical_image(path: str | Path, *, volume_index: int | None = None) -> np.ndarray:
    """(slices, H, W) raw intensities, axial, from inferior to superior.

    Every slice is turned as a radiologist sees it (anterior at the top, the patient's right on the left); voxels
    are neither resampled nor rescaled, so that CT stays in HU.

    Raises:
        ValueError: No such file, not a volume, or a 4-D series without `volume_index`.
    """
    source = Path(path).expanduser()
    image = open_volume(source)
    grid = grid_of(image, path=source, plane="axial")
    canonical = grid.to_canonical(read_voxels(image, path=source, volume_index=volume_index))
    return np.stack([grid.cut(canonical, index) for index in range(grid.num_slices)])  # (slices, H, W)
