"""`DicomVolume`: the slices of a series as one volume on a grid."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sam_ft.data.dicom.files import DicomFile, DicomSeries, reading_dicom
from sam_ft.data.dicom.geometry import Stack, stack_of
from sam_ft.data.dicom.slices import DicomSlice, slices_of
from sam_ft.data.volumes.grid import SliceGrid
from sam_ft.data.volumes.identity import FileIdentity
from sam_ft.data.volumes.scaling import Scaling
from sam_ft.optional import require


@dataclass(frozen=True, eq=False)
class DicomVolume:
    """A series of images that make a regular grid; see `sam_ft.data.volumes.stored.StoredVolume`."""

    series: DicomSeries
    stack: Stack
    mapped: bool = False
    volume_index: int | None = None

    @classmethod
    def of(cls, series: DicomSeries) -> DicomVolume:
        """The volume of a series; headers are read, pixels are not.

        Raises:
            ValueError: As `slices_of` and `stack_of`.
        """
        return cls(series, stack_of(slices_of(series)))

    def grid(self, plane: str) -> SliceGrid:
        """The volume's grid, cut into slices of `plane`."""
        return SliceGrid(path=self.series.folder, shape=self.stack.shape, affine=self.stack.affine, plane=plane)

    @cached_property
    def identity(self) -> FileIdentity:
        """Of the files: their sizes and times, and the identifiers of the images, which no two images share."""
        return identity_of(self.series.files)

    @property
    def scaling(self) -> Scaling:
        """Slope and intercept where all slices have the same ones; otherwise `read` applies each slice's own."""
        first = self.stack.slices[0]
        return Scaling(first.slope, first.intercept) if self._scaled_alike else Scaling()

    @property
    def window(self) -> tuple[float, float] | None:
        """The window of the middle slice."""
        return self.stack.slices[len(self.stack.slices) // 2].window

    def read(self) -> np.ndarray:
        """(columns, rows, slices) numbers.

        Raises:
            ValueError: A file is damaged; it is named.
        """
        rows, columns = self.stack.slices[0].layout.size
        stored = np.result_type(*{one.layout.dtype for one in self.stack.slices})
        dtype = stored if self._scaled_alike else np.dtype(np.float32)
        planes = np.empty((len(self.stack.slices), rows, columns), dtype=dtype)
        by_file: dict[Path, list[int]] = defaultdict(list)
        for index, one in enumerate(self.stack.slices):
            by_file[one.path].append(index)
        for path, indices in by_file.items():
            frames = read_frames(path)
            for index in indices:
                planes[index] = self._numbers(self.stack.slices[index], frames)
        return planes.transpose(2, 1, 0)  # (columns, rows, slices)

    def _numbers(self, one: DicomSlice, frames: np.ndarray) -> np.ndarray:
        """(rows, columns) of a slice, out of (frames, rows, columns)."""
        frame = one.frame or 0
        if frame >= len(frames) or frames.shape[1:] != one.layout.size:
            raise ValueError(f"Expected frame {frame} of {one.layout.size} in {one.path}, but got {frames.shape}.")
        numbers = one.layout.numbers(frames[frame])
        return numbers if self._scaled_alike else numbers * one.slope + one.intercept

    @cached_property
    def _scaled_alike(self) -> bool:
        return len({(one.slope, one.intercept) for one in self.stack.slices}) == 1


def read_frames(path: Path) -> np.ndarray:
    """(frames, rows, columns) the pixels of a file of grey images.

    Raises:
        ValueError: They cannot be decoded.
    """
    with reading_dicom(path, "pixels that can be decoded"):
        pixels = np.asarray(require("pydicom", extra="dicom").dcmread(path).pixel_array)
    return pixels if pixels.ndim == 3 else pixels[None]


def identity_of(files: tuple[DicomFile, ...]) -> FileIdentity:
    """The identity of DICOM files, without reading them again."""
    digest = hashlib.blake2b("\n".join(sorted(file.instance for file in files)).encode(), digest_size=16)
    return FileIdentity(
        paths=tuple(file.path for file in files),
        sizes=tuple(file.size_bytes for file in files),
        times_ns=tuple(file.time_ns for file in files),
        content=digest.hexdigest(),
    )
