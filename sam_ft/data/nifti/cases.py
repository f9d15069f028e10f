"""NIfTI files as cases: of patterns, or files that a data set lists."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sam_ft.data.nifti.headers import warn_of_two_affines
from sam_ft.data.nifti.reading import grid_of, num_time_points, open_volume, read_labels
from sam_ft.data.nifti.volume import NiftiVolume, identity_of
from sam_ft.data.volumes.cases import CaseFiles, LabelledVolume, VolumeFile, cases_of_pairs, open_case
from sam_ft.data.volumes.grid import SliceGrid, refuse_other_grid
from sam_ft.data.volumes.pairing import Pairing, pair_files
from sam_ft.data.volumes.sources import ImageSource, LabelSource

_logger = logging.getLogger(__name__)


def open_nifti_image(file: VolumeFile, *, plane: str) -> ImageSource:
    """The image of a NIfTI file, or of another that nibabel knows; its header alone is read.

    Raises:
        ValueError: The file cannot be read, or is 4-D and no volume of it is chosen.
    """
    image = open_volume(file.path)
    num_volumes = num_time_points(image)
    if file.volume_index is None and num_volumes > 1:
        raise ValueError(
            f"Expected a volume of 3 dimensions in {file.path}, but its shape is {image.shape}; "
            f"choose one volume of the series with volume_index=0 ... {num_volumes - 1}."
        )
    warn_of_two_affines(image, path=file.path)
    grid = grid_of(image, path=file.path, plane=plane)
    return ImageSource(grid, NiftiVolume.of(image, path=grid.path, volume_index=file.volume_index))


def open_nifti_label(path: Path, grid: SliceGrid) -> LabelSource:
    """The label in a file that nibabel knows; its header alone is read.

    Raises:
        ValueError: The file cannot be read, or lies on another grid than the image.
    """
    label = open_volume(path)
    warn_of_two_affines(label, path=path)
    refuse_other_grid(grid, grid_of(label, path=path, plane=grid.plane))
    return LabelSource(path, grid, identity_of(label), partial(read_labels, path))


def open_nifti_cases(cases: Iterable[CaseFiles], *, plane: str) -> tuple[LabelledVolume, ...]:
    """Cases of NIfTI files, of which only headers are read; raises as `open_case`."""
    open_image = partial(open_nifti_image, plane=plane)
    return tuple(open_case(files, open_image=open_image, open_label=open_nifti_label) for files in cases)


def open_cases(
    images: str | Sequence[str], labels: str, *, plane: str, volume_index: int | None
) -> tuple[LabelledVolume, ...]:
    """The cases of one pattern of images, or of several that belong to the same labels, in the order of the images.

    Only headers are read.

    Raises:
        ValueError: A file without partner or with several; a sequence on another grid than the first one; a
            4-D image without `volume_index`.
    """
    patterns = [images] if isinstance(images, str) else list(images)
    sequences = [_without_series(pair_files(pattern, labels), volume_index=volume_index) for pattern in patterns]
    return open_nifti_cases(cases_of_pairs(sequences, volume_index=volume_index), plane=plane)


def _without_series(pairing: Pairing, *, volume_index: int | None) -> Pairing:
    """The pairing without the 4-D series that no label belongs to."""
    series = [path for path in pairing.lone_images if volume_index is None and num_time_points(open_volume(path)) > 1]
    for path in series:
        _logger.warning("%s is a 4-D series without a label and is left out.", path)
    return replace(pairing, lone_images=tuple(path for path in pairing.lone_images if path not in series))
