"""NIfTI files as volumes whose numbers are read when they are needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import SpatialImage

from sam_ft.data.nifti.reading import open_volume, read_stored, scaling_of
from sam_ft.data.volumes.identity import FileIdentity
from sam_ft.data.volumes.scaling import Scaling


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
