"""DICOM SEG objects as label volumes on the grid of the series that they were drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam_ft.data.dicom.files import read_header, reading_dicom
from sam_ft.data.dicom.geometry import Stack
from sam_ft.data.dicom.slices import directions, expect_decoder, floats, group_of
from sam_ft.data.dicom.volume import read_frames
from sam_ft.data.volumes.grid import SliceGrid

_TAGS = (
    "Modality", "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "SegmentationType", "SegmentSequence",
    "ReferencedSeriesSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
_OFF_PIXELS = 0.05
_OFF_SLICES = 0.1
_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Segmentation:
    """What the header of a SEG object says.

    Source: DICOM PS3.3 A.51 (Segmentation IOD).
    """

    path: Path
    series: str  # SeriesInstanceUID of the images
    names: Mapping[int, str]  # SegmentNumber -> SegmentLabel; the number is the label's value

    @classmethod
    def of(cls, path: Path) -> Segmentation:
        """Of a file.

        Raises:
            ValueError: No SEG object, one with fractions, or one that names no series.
        """
        with reading_dicom(path, "a DICOM SEG of type BINARY or LABELMAP"):
            header = read_header(path, tags=_TAGS)
            expect_decoder(header)
            kind = str(header.get("SegmentationType"))
            if header.get("Modality") != "SEG" or kind not in ("BINARY", "LABELMAP"):
                raise ValueError(f"its modality is {header.get('Modality')} and its type {kind}")
            series = str(header.ReferencedSeriesSequence[0].SeriesInstanceUID)
            names = {int(one.SegmentNumber): str(one.get("SegmentLabel") or "") for one in header.SegmentSequence}
        return cls(path, series, names)


@dataclass(frozen=True, eq=False)
class SegmentationLabels:
    """Reads the labels of a series out of a SEG object; see `sam_ft.data.volumes.stored.ReadLabels`."""

    path: Path
    stack: Stack  # of the series

    def __call__(self, *, image_grid: SliceGrid) -> np.ndarray:
        """Segment numbers on the series' grid, in RAS+ orientation; slices without a frame are background.

        Raises:
            ValueError: Pixels that cannot be decoded, a frame that is not on a slice of the series, or segments that
                overlap; the file is named.
        """
        frames = read_frames(self.path)
        columns, rows, depth = self.stack.shape
        labels = np.zeros((depth, rows, columns), dtype=np.uint16)
        with reading_dicom(self.path, "labels on the grid of their series"):
            header = read_header(self.path, tags=_TAGS)
            if frames.shape[1:] != (rows, columns):
                raise ValueError(f"the frames have {frames.shape[1:]} pixels and its slices {(rows, columns)}")
            for number, pixels in enumerate(frames):
                self._paint(header, number, pixels, labels)
        smallest = labels.astype(np.min_scalar_type(int(labels.max())))
        return np.ascontiguousarray(image_grid.to_canonical(smallest.transpose(2, 1, 0)))

    def _paint(self, header: Any, number: int, pixels: np.ndarray, labels: np.ndarray) -> None:
        """One frame into (slices, rows, columns)."""
        place = labels[self._slice_of(header, number)]
        inside = pixels != 0
        if (place[inside] != 0).any():
            raise ValueError(f"the segment of frame {number} overlaps another one, and a label volume holds one alone")
        if str(header.SegmentationType) == "LABELMAP":
            place[inside] = pixels[inside]
            return
        segment = group_of(header, number, "SegmentIdentificationSequence")
        if segment is None:
            raise ValueError(f"frame {number} does not say which segment it shows")
        place[inside] = int(segment.ReferencedSegmentNumber)

    def _slice_of(self, header: Any, number: int) -> int:
        """The slice of the series that a frame lies on."""
        position = floats(group_of(header, number, "PlanePositionSequence"), "ImagePositionPatient", 3)
        if position is None:
            raise ValueError(f"frame {number} has no ImagePositionPatient")
        first = self.stack.slices[0]
        along_row, along_column = directions(group_of(header, number, "PlaneOrientationSequence"))
        spacing = floats(group_of(header, number, "PixelMeasuresSequence"), "PixelSpacing", 2)
        is_same_plane = np.allclose(along_row, first.along_row, atol=1e-3) and np.allclose(
            along_column, first.along_column, atol=1e-3
        )
        if not is_same_plane or (spacing is not None and not np.allclose(spacing, first.spacing_mm, atol=1e-3)):
            raise ValueError(f"the rows and columns of frame {number} run or lie otherwise than those of the series")
        column, row, index = np.linalg.solve(self.stack.affine, np.append(position * _TO_RAS, 1.0))[:3]
        nearest = round(float(index))
        if max(abs(column), abs(row)) > _OFF_PIXELS or abs(index - nearest) > _OFF_SLICES:
            raise ValueError(f"frame {number} begins at column {column:.3g}, row {row:.3g} of slice {index:.3g}")
        if not 0 <= nearest < len(self.stack.slices):
            raise ValueError(f"frame {number} would be slice {nearest} of {len(self.stack.slices)}")
        return nearest
