"""What slices need to know of a volume, whatever kind of files it lies in; and NIfTI files as such a volume."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import SpatialImage

from sam_ft.data.nifti.grid import SliceGrid
from sam_ft.data.nifti.identity import FileIdentity
from sam_ft.data.nifti.reading import Scaling, open_volume, read_stored, scaling_of


class ReadLabels(Protocol):
    """What reads the labels of an image. It can be pickled."""

    def __call__(self, *, image_grid: SliceGrid) -> np.ndarray:
        """Integer labels on the image's grid, in RAS+ orientation; raises as `read_labels`."""


class StoredVolume(Protocol):
    """An image volume on the disk, whose numbers are read when they are needed. It can be pickled."""

    @property
    def identity(self) -> FileIdentity:
        """Of its files."""

    @property
    def scaling(self) -> Scaling:
        """What `read` leaves to be done."""

    @property
    def mapped(self) -> bool:
        """Whether `read` gives a view of an uncompressed file, so that nothing is gained by keeping planes."""

    @property
    def volume_index(self) -> int | None:
        """Which volume of the files it is."""

    @property
    def window(self) -> tuple[float, float] | None:
        """The (level, width) that the files ask to be shown with; None: they ask for none."""

    def read(self) -> np.ndarray:
        """(X, Y, Z) numbers as they are stored, in the axes of the grid's affine."""


@dataclass(frozen=True, eq=False)
class NiftiVolume:
    """A volume of a file that nibabel knows."""

    path: Path
    volume_index: int | None
    scaling: Scaling
    identity: FileIdentity
    mapped: bool  # an uncompressed file, whose planes are read where they lie
    window: tuple[float, float] | None  # of the header's cal_min and cal_max

    @classmethod
    def of(cls, image: SpatialImage, *, path: Path, volume_index: int | None) -> NiftiVolume:
        """The volume of an opened image."""
        mapped = isinstance(image, Nifti1Image) and path.suffix.lower() == ".nii"
        return cls(path, volume_index, scaling_of(image), identity_of(image), mapped, window_of(image))

    def read(self) -> np.ndarray:
        """(X, Y, Z) unscaled numbers; raises as `read_stored`."""
        return read_stored(open_volume(self.path), path=self.path, volume_index=self.volume_index)


def identity_of(image: SpatialImage) -> FileIdentity:
    """The identity of the file or files of an opened image."""
    paths = sorted({Path(holder.filename) for holder in image.file_map.values() if holder.filename})
    proxy: Any = image.dataobj
    if len(paths) > 1 or not isinstance(image, Nifti1Image) or not isinstance(proxy, ArrayProxy):
        return FileIdentity.of(paths)
    return FileIdentity.of(paths, inflated_bytes=int(proxy.offset) + math.prod(proxy.shape) * proxy.dtype.itemsize)


def window_of(image: SpatialImage) -> tuple[float, float] | None:
    """The (level, width) from cal_min to cal_max of an opened NIfTI image; None where it has none."""
    if not isinstance(image, Nifti1Image):
        return None
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    return ((low + high) / 2, high - low) if np.isfinite([low, high]).all() and high > low else None
