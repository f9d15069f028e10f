"""What the header of a NIfTI file claims, checked before anything is allocated or believed."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from isal import igzip
from nibabel.nifti1 import Nifti1Image, Nifti1Pair
from nibabel.spatialimages import SpatialImage

from sam_ft.data.damaged import MOST_INFLATION
from sam_ft.data.nifti.inflating import DAMAGED

_logger = logging.getLogger(__name__)

_HEADER_BYTES = 348
_MAGIC = (b"n+1", b"ni1", b"n+2", b"ni2")
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
_SAME_WITHIN_MM = 0.01
_SAME_WITHIN_DEGREES = 0.05


def why_unreadable(path: Path, err: Exception) -> str:
    """What is wrong with a file that nibabel refuses, in plainer words than its own."""
    packed, name = path.suffix.lower() == ".gz", path.name.lower().removesuffix(".gz")
    if not name.endswith(".nii"):
        return str(err)
    try:
        with igzip.open(path, "rb") if packed else open(path, "rb") as file:
            start = file.read(_HEADER_BYTES)
    except igzip.BadGzipFile:
        return "it is no gzip file" if path.stat().st_size else "it is empty"
    except DAMAGED as broken:
        return f"the file is damaged: {broken}"
    if not start:
        return "it is empty"
    if len(start) < _HEADER_BYTES:
        return f"it ends after {len(start)} bytes, within the header"
    return str(err) if start[344:347] in _MAGIC or start[4:7] in _MAGIC else "it has no NIfTI header"


def refuse_claims_beyond_the_file(image: SpatialImage, *, path: Path) -> None:
    """Checks that the file can hold as many voxels as its header claims; nothing is read.

    Raises:
        ValueError: More bytes of voxels than the file has, or could give when inflated.
    """
    if not isinstance(image, Nifti1Image) or Path(path).suffix.lower() not in (".nii", ".gz"):
        return
    proxy: Any = image.dataobj
    claimed = int(proxy.offset) + math.prod(image.shape) * image.get_data_dtype().itemsize
    size = path.stat().st_size
    available = size * MOST_INFLATION if path.suffix.lower() == ".gz" else size
    if claimed > available:
        raise ValueError(
            f"Expected {path} to hold the voxels that its header claims ({claimed} bytes for shape {image.shape}), "
            f"but the file of {size} bytes cannot hold more than {available}: it is truncated, or its header damaged."
        )


def affine_mm(image: SpatialImage, affine: np.ndarray) -> np.ndarray:
    """(4, 4) an affine of a file, in mm: that of a NIfTI file may be in metres or micrometres, as its header says.

    An unknown unit is mm, as in most tools.

    Source: nifti1.h, `xyzt_units`, whose lowest three bits are the unit of space; ITK reads it in the same way.
    """
    mm = _MM_PER_UNIT.get(int(image.header["xyzt_units"]) & 7, 1.0) if isinstance(image, Nifti1Pair) else 1.0
    return np.asarray(np.diag([mm, mm, mm, 1.0]) @ affine)


def warn_of_two_affines(image: SpatialImage, *, path: Path) -> None:
    """Says in a warning if a file's qform and sform place its voxels differently, by how much, and which one counts.

    The sform counts where its code is above 0 (nibabel's rule, as in most tools). Differences below 0.01 mm at every
    corner and below 0.05 degrees are rounding.
    """
    try:
        apart = distance_of_affines(image)
    except (ValueError, nibabel.spatialimages.HeaderDataError) as err:
        _logger.warning("%s has a qform that makes no sense (%s); the affine that counts is nibabel's.", path, err)
        return
    if apart is not None:
        _logger.warning(
            "%s places its voxels in two ways: qform and sform lie up to %.4g mm and %.3g degrees apart. "
            "The sform is used.", path, *apart,
        )  # fmt: skip


def distance_of_affines(image: SpatialImage) -> tuple[float, float] | None:
    """How many mm and degrees a file's qform and sform lie apart at most; None where they agree or one is missing.

    Raises:
        ValueError, HeaderDataError: The qform makes no sense.
    """
    if not isinstance(image, Nifti1Image):
        return None
    qform, sform = image.get_qform(coded=True)[0], image.get_sform(coded=True)[0]
    if qform is None or sform is None or not (np.isfinite(qform).all() and np.isfinite(sform).all()):
        return None
    qform, sform = affine_mm(image, qform), affine_mm(image, sform)
    distance_mm, angle = _furthest_corner_mm(qform, sform, image.shape[:3]), _angle_degrees(qform, sform)
    return (distance_mm, angle) if distance_mm > _SAME_WITHIN_MM or angle > _SAME_WITHIN_DEGREES else None


def _furthest_corner_mm(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    ends = [(0, length - 1) for length in shape]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, len(shape))
    corners = np.pad(corners, ((0, 0), (0, 3 - len(shape))))  # (K, 3), also for flat images
    places = (nibabel.affines.apply_affine(affine, corners) for affine in (first, second))
    return float(np.linalg.norm(np.subtract(*places), axis=-1).max())


def _angle_degrees(first: np.ndarray, second: np.ndarray) -> float:
    """The largest angle between the same voxel axis in both affines."""
    axes = [affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0).clip(min=1e-12) for affine in (first, second)]
    across = np.linalg.norm(np.cross(axes[0], axes[1], axis=0), axis=0)  # precise for small angles, as arccos is not
    return float(np.degrees(np.arctan2(across, (axes[0] * axes[1]).sum(axis=0))).max())
