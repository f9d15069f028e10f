"""What slices need to know of a volume, whatever kind of files it lies in."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sam_ft.data.volumes.grid import SliceGrid
from sam_ft.data.volumes.identity import FileIdentity
from sam_ft.data.volumes.scaling import Scaling


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
