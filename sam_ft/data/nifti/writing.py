"""Label slices back onto the exact grid of the volume they were cut from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np

from sam_ft.data.nifti.reading import open_volume
from sam_ft.data.volumes.grid import SliceGrid
from sam_ft.files import atomic_write


def write_label_volume(path: str | Path, pictures: Mapping[int, np.ndarray], *, grid: SliceGrid) -> Path:
    """Writes a label volume whose slices are given as `VolumeSlices` shows them.

    The inverse of cutting: labels of the source's slices, written back, are the source's label volume. The file
    has the shape, orientation, affine and header codes of `grid.path` (of a DICOM series or an array, the first
    three), and the smallest unsigned integer type that holds the labels.

    Args:
        path: Where to write, ending in `.nii` or `.nii.gz`.
        pictures: Slice index -> (height, width) integer labels of `grid.picture_size`; slices that are not given
            become background. Objects that overlap have to be turned into one label map first.
        grid: The grid of the source volume.

    Returns:
        The path.

    Raises:
        ValueError: Labels that are not integers of 0 and above, a slice of another size or out of range.
    """
    canonical = np.zeros(grid.canonical_shape, dtype=_label_type(pictures))
    for index, picture in pictures.items():
        grid.cut(canonical, index)[...] = grid.labels_to_plane(picture)
    voxels = grid.from_canonical(canonical)
    if grid.path.is_dir() or grid.path.suffix.lower() == ".npz":  # files of a series, or an array
        return _save_in_patient(path, voxels, grid=grid)
    return save_volume(path, voxels, like=grid.path)


def expect_nifti_name(path: str | Path) -> Path:
    """The path, if a volume can be written there.

    Raises:
        ValueError: A name that does not end in `.nii` or `.nii.gz`.
    """
    if not str(path).endswith((".nii", ".nii.gz")):
        raise ValueError(f"Expected a path ending in .nii or .nii.gz, but got {path}.")
    return Path(path)


def save_volume(path: str | Path, voxels: np.ndarray, *, like: Path) -> Path:
    """Writes voxels, as the file `like` stores them, with its affine and header; beside first, then renamed.

    Raises:
        ValueError: Another shape than `like`, or a name that does not end in `.nii` or `.nii.gz`.
    """
    target = expect_nifti_name(path)
    source = open_volume(like)
    if voxels.shape != source.shape[:3]:
        raise ValueError(f"Expected voxels of shape {source.shape[:3]} as in {like}, but got {voxels.shape}.")
    header = source.header.copy()
    image = nibabel.Nifti1Image(voxels, source.affine, header=header, dtype=voxels.dtype)
    image.header.set_slope_inter(1, 0)
    image.header["cal_min"] = image.header["cal_max"] = 0
    with atomic_write(target) as partial:
        nibabel.save(image, partial)
    return target


def _save_in_patient(path: str | Path, voxels: np.ndarray, *, grid: SliceGrid) -> Path:
    """Writes voxels of a volume that is no NIfTI file, in mm from the scanner's origin."""
    target = expect_nifti_name(path)
    image = nibabel.Nifti1Image(voxels, grid.affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(grid.affine, code=1)
    image.set_sform(grid.affine, code=1)
    with atomic_write(target) as partial:
        nibabel.save(image, partial)
    return target


def _label_type(pictures: Mapping[int, np.ndarray]) -> np.dtype[np.unsignedinteger]:
    largest = 0
    for index, picture in pictures.items():
        if not np.issubdtype(picture.dtype, np.integer) and picture.dtype != bool:
            raise ValueError(f"Expected integer labels in slice {index}, but got {picture.dtype}.")
        if picture.size and int(picture.min()) < 0:
            raise ValueError(f"Expected labels of 0 and above in slice {index}, but got {int(picture.min())}.")
        largest = max(largest, int(picture.max(initial=0)))
    return np.min_scalar_type(largest)
