"""The files of one case as planes: images as they store their numbers, labels as integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nibabel
import numpy as np

from sam_ft.data.volumes.grid import Extent, SliceGrid, extent
from sam_ft.data.volumes.identity import FileIdentity
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.stored import ReadLabels, StoredVolume
from sam_ft.transforms import foreground_mask, percentile_range


@dataclass(frozen=True, eq=False)
class ImageSource:
    """One image volume, read plane by plane: exactly the numbers that reading the whole of it gives."""

    grid: SliceGrid
    stored: StoredVolume

    @property
    def path(self) -> Path:
        """The file, or the folder of a series."""
        return self.grid.path

    @property
    def identity(self) -> FileIdentity:
        """Of the file or files."""
        return self.stored.identity

    def plane(self, index: int, *, cache: SliceCache) -> np.ndarray:
        """(rows, columns) intensities of a whole slice, turned as it is shown.

        Raises:
            ValueError: As `StoredVolume.read`; a slice out of range, or a file that was written since it was opened.
        """
        if not 0 <= index < self.grid.num_slices:
            raise ValueError(f"Expected a slice from 0 to {self.grid.num_slices - 1} in {self.path}, but got {index}.")
        self.identity.refuse_change()
        if self.stored.mapped:
            return self.stored.scaling(self._stored()[index].copy())
        return self.stored.scaling(cache.plane(self._planes_key, index, decode=self._decode))

    def intensity_range(self, cache: SliceCache) -> tuple[float, float]:
        """The 0.5 and 99.5 percentiles of the volume's foreground; the volume is read once, in all runs together.

        Raises:
            ValueError: As `StoredVolume.read`, or no finite intensity.
        """
        facts = cache.facts(self._key("range"), compute=lambda: {"range": self._percentiles(cache)})
        low, high = facts["range"]
        return float(low), float(high)

    def foreground_extent(self, cache: SliceCache) -> Extent | None:
        """The rectangle of a slice that holds the foreground of all slices; None if there is none.

        Foreground is what `sam_ft.transforms.foreground_mask` finds in the whole volume.
        """
        facts = cache.facts(
            self._key("foreground"), compute=lambda: {"foreground": extent(foreground_mask(self._numbers(cache)))}
        )
        return _as_extent(facts["foreground"])

    def _percentiles(self, cache: SliceCache) -> tuple[float, float]:
        numbers = self._numbers(cache)
        if np.issubdtype(numbers.dtype, np.integer):
            low, high = sorted(self.stored.scaling(np.array(percentile_range(numbers))))  # the slope may be negative
            return low, high
        if not np.isfinite(numbers).any():
            raise ValueError(f"Expected finite intensities in {self.path}, but got none.")
        return percentile_range(numbers)

    def _numbers(self, cache: SliceCache) -> np.ndarray:
        """(slices, rows, columns) intensities; integers as they are stored, which a scaled copy would blow up."""
        stored = self._stored() if self.stored.mapped else cache.whole(self._planes_key, decode=self._decode)
        return stored if np.issubdtype(stored.dtype, np.integer) else self.stored.scaling(stored)

    def _stored(self) -> np.ndarray:
        """(slices, rows, columns) unscaled numbers; a view where the file is mapped into memory."""
        return self.grid.planes(self.grid.to_canonical(self.stored.read()))

    def _decode(self) -> np.ndarray:
        return np.ascontiguousarray(self._stored())

    @cached_property
    def _planes_key(self) -> str:
        return self._key("image")

    def _key(self, what: str) -> str:
        return self.identity.key(what, self.grid.plane, self.stored.volume_index)


@dataclass(frozen=True, eq=False)
class LabelSource:
    """One label volume on the grid of its image."""

    path: Path
    grid: SliceGrid  # of the image
    identity: FileIdentity
    read: ReadLabels

    def plane(self, index: int, *, cache: SliceCache) -> np.ndarray:
        """(rows, columns) integer labels of a whole slice; raises as `read_labels`, and where the file was changed."""
        self.identity.refuse_change()
        return cache.plane(self._planes_key, index, decode=self._decode)

    def planes(self, cache: SliceCache) -> np.ndarray:
        """(slices, rows, columns) integer labels; raises as `read_labels`."""
        return cache.whole(self._planes_key, decode=self._decode)

    def key(self, *parts: object) -> str:
        """A name for what was made of this label and the given settings."""
        axes = "".join(nibabel.aff2axcodes(self.grid.affine))
        return self.identity.key("label", self.grid.plane, axes, *parts)

    @cached_property
    def _planes_key(self) -> str:
        return self.key()

    def _decode(self) -> np.ndarray:
        return np.ascontiguousarray(self.grid.planes(self.read(image_grid=self.grid)))


def _as_extent(rectangle: Sequence[int] | None) -> Extent | None:
    if rectangle is None:
        return None
    top, bottom, left, right = rectangle
    return int(top), int(bottom), int(left), int(right)
