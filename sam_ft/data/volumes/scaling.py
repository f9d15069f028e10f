"""From the numbers that a file stores to intensities and to labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.volumeutils import apply_read_scaling

from sam_ft.data.label_maps import MOST_LABEL

_LABEL_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Scaling:
    """How stored numbers become intensities: times `slope`, plus `inter`."""

    slope: float = 1.0
    inter: float = 0.0

    def __call__(self, stored: np.ndarray) -> np.ndarray:
        """Exactly what nibabel makes of the same numbers, whole volume or part of one."""
        return apply_read_scaling(stored, np.float64(self.slope), np.float64(self.inter))


def as_integer_labels(voxels: np.ndarray, *, path: Path) -> np.ndarray:
    """The voxels of a label volume as the smallest integer type that holds them; raises as `read_labels`."""
    if not np.issubdtype(voxels.dtype, np.integer):
        rounded = np.rint(voxels)
        with np.errstate(invalid="ignore"):
            furthest = voxels - rounded
            np.abs(furthest, out=furthest)
        if not (furthest <= _LABEL_TOLERANCE).all():
            worst = voxels.flat[int(np.argmax(np.nan_to_num(furthest, nan=np.inf)))]
            raise ValueError(
                f"Expected integer labels in {path}, but got {worst:g}; a probability map needs a threshold first."
            )
        voxels = rounded
    smallest, largest = int(voxels.min()), int(voxels.max())
    if smallest < 0 or largest > MOST_LABEL:
        wrong = smallest if smallest < 0 else largest
        raise ValueError(f"Expected labels of 0 (background) to {MOST_LABEL} in {path}, but got {wrong}.")
    return voxels.astype(np.min_scalar_type(largest))
