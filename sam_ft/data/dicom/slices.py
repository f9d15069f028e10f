"""What the headers of a series say of each of its slices: place, size, and how its numbers are meant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam_ft.data.dicom.files import DicomFile, DicomSeries, read_header, reading_dicom
from sam_ft.optional import require

_TAGS = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
_BITS = (8, 16, 32)
_MOST_INFLATION = 1 << 15
"""A byte of a compressed file gives at most about this many: JPEG 2000 of a picture in one grey."""


@dataclass(frozen=True)
class PixelLayout:
    """How the numbers of a slice are stored."""

    size: tuple[int, int]  # (rows, columns)
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """The same without what lies in the bits that are not stored (overlays, or a sign left out)."""
        above, below = self.bits_allocated - 1 - self.high_bit, self.high_bit + 1 - self.bits_stored
        numbers = pixels.astype(self.dtype, copy=False)
        return numbers if above == below == 0 else (numbers << above) >> (above + below)


@dataclass(frozen=True)
class DicomSlice:
    """One image of a series: a file, or a frame of one. Positions and directions are DICOM's: left, posterior, head."""

    path: Path
    frame: int | None  # None: the file holds one image
    layout: PixelLayout
    position: np.ndarray  # (3,) mm, the middle of the first pixel
    along_row: np.ndarray  # (3,) unit vector in which columns are counted
    along_column: np.ndarray  # (3,) unit vector in which rows are counted
    spacing_mm: tuple[float, float]  # from row to row, from column to column
    thickness_mm: float | None
    slope: float
    intercept: float
    window: tuple[float, float] | None  # (level, width) after slope and intercept


def slices_of(series: DicomSeries) -> list[DicomSlice]:
    """All slices of a series, unsorted; frames of a multi-frame file are slices.

    Raises:
        ValueError: A file that cannot be read, has no place in the patient, is compressed in a way that cannot be
            undone here, or holds something else than grey values; it is named.
    """
    return [found for file in series.files for found in _slices_in(file)]


def group_of(header: Any, frame: int, name: str) -> Any:
    """The item of a functional group of one frame: its own one, else the one that all frames share; None for neither.

    Source: DICOM PS3.3 C.7.6.16.
    """
    for groups, number in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(groups) and header.get(groups)[number].get(name)
        if items:
            return items[0]
    return None


def floats(item: Any, name: str, count: int) -> np.ndarray | None:
    """(count,) an element of an item; None where there is none.

    Raises:
        ValueError: Another number of values, or one that is not finite.
    """
    value = None if item is None else item.get(name)
    if value is None or value == "":
        return None
    numbers = np.atleast_1d(np.array(value, dtype=float))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} is {value}, expected {count} finite numbers")
    return numbers


def directions(item: Any) -> tuple[np.ndarray, np.ndarray]:
    """The unit vectors along a row and along a column.

    Raises:
        ValueError: None, or two that are not at right angles.
    """
    cosines = floats(item, "ImageOrientationPatient", 6)
    if cosines is None:
        raise ValueError("it has no ImageOrientationPatient")
    along_row, along_column = cosines[:3], cosines[3:]
    lengths = [float(np.linalg.norm(vector)) for vector in (along_row, along_column)]
    if not np.allclose(lengths, 1, atol=1e-3) or abs(float(along_row @ along_column)) > 1e-3:
        raise ValueError(f"ImageOrientationPatient {cosines.tolist()} are no two unit vectors at right angles")
    return along_row / lengths[0], along_column / lengths[1]


def expect_decoder(header: Any) -> None:
    """Checks that the file's compression can be undone with the packages that are installed.

    Raises:
        ValueError: It cannot; the message says what helps.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return
    decoder = require("pydicom.pixels", extra="dicom").get_decoder(syntax)
    if not decoder.is_available:
        raise ValueError(
            f"they are {syntax.name}, which cannot be decoded here: install a decoder "
            f"({'; '.join(decoder.missing_dependencies)}), or decompress the files, as gdcmconv --raw does"
        )


def _slices_in(file: DicomFile) -> list[DicomSlice]:
    with reading_dicom(file.path, "slices of a volume"):
        header = read_header(file.path, tags=_TAGS)
        expect_decoder(header)
        layout = _layout_of(header)
        count = int(header.get("NumberOfFrames") or 1)
        _expect_enough_bytes(header, layout, count, size_bytes=file.size_bytes)
        places = header.get("PerFrameFunctionalGroupsSequence")
        if not places and count > 1:
            raise ValueError(f"it has {count} frames without a place for each (no enhanced multi-frame object)")
        if not places:
            return [_slice(file.path, None, layout, geometry=header, measures=header, values=header, shown=header)]
        if len(places) != count:
            raise ValueError(f"it has {count} frames and places for {len(places)}")
        return [_frame(header, file.path, layout, frame) for frame in range(count)]


def _frame(header: Any, path: Path, layout: PixelLayout, frame: int) -> DicomSlice:
    position = group_of(header, frame, "PlanePositionSequence")
    orientation = group_of(header, frame, "PlaneOrientationSequence")
    return _slice(
        path, frame, layout,
        geometry={
            "ImagePositionPatient": position and position.get("ImagePositionPatient"),
            "ImageOrientationPatient": orientation and orientation.get("ImageOrientationPatient"),
        },
        measures=group_of(header, frame, "PixelMeasuresSequence"),
        values=group_of(header, frame, "PixelValueTransformationSequence"),
        shown=group_of(header, frame, "FrameVOILUTSequence"),
    )  # fmt: skip


def _slice(
    path: Path, frame: int | None, layout: PixelLayout, *, geometry: Any, measures: Any, values: Any, shown: Any
) -> DicomSlice:
    position, spacing = floats(geometry, "ImagePositionPatient", 3), floats(measures, "PixelSpacing", 2)
    along_row, along_column = directions(geometry)
    if position is None or spacing is None:
        raise ValueError(f"it has no {'ImagePositionPatient' if position is None else 'PixelSpacing'}")
    if (spacing <= 0).any():
        raise ValueError(f"PixelSpacing is {spacing.tolist()}, expected two numbers above 0")
    slope, intercept = floats(values, "RescaleSlope", 1), floats(values, "RescaleIntercept", 1)
    thickness = floats(measures, "SliceThickness", 1)
    return DicomSlice(
        path=path,
        frame=frame,
        layout=layout,
        position=position,
        along_row=along_row,
        along_column=along_column,
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=None if thickness is None else float(thickness[0]),
        slope=1.0 if slope is None else float(slope[0]),
        intercept=0.0 if intercept is None else float(intercept[0]),
        window=_window(shown),
    )


def _layout_of(header: Any) -> PixelLayout:
    photometric, samples = header.get("PhotometricInterpretation"), int(header.get("SamplesPerPixel") or 1)
    if photometric != "MONOCHROME2" or samples != 1:
        raise ValueError(f"its pixels are {photometric} with {samples} samples, expected MONOCHROME2 with one")
    allocated, stored = int(header.BitsAllocated), int(header.BitsStored)
    high = int(header.get("HighBit", stored - 1))
    if allocated not in _BITS or not 0 < stored <= allocated or not stored - 1 <= high < allocated:
        raise ValueError(f"it has {stored} bits up to bit {high} in {allocated}, expected at most 8, 16 or 32")
    size = int(header.Rows), int(header.Columns)
    if min(size) < 1:
        raise ValueError(f"it has {size[0]} rows and {size[1]} columns")
    return PixelLayout(size, allocated, stored, high, signed=bool(int(header.PixelRepresentation)))


def _expect_enough_bytes(header: Any, layout: PixelLayout, num_frames: int, *, size_bytes: int) -> None:
    """Refuse files that are shorter than the pixels they claim, before anything is allocated."""
    syntax = header.file_meta.TransferSyntaxUID
    claimed = math.prod(layout.size) * layout.bits_allocated // 8 * num_frames
    if claimed > size_bytes * (_MOST_INFLATION if syntax.is_compressed else 1):
        raise ValueError(f"its header claims {claimed} bytes of pixels and the file has {size_bytes}: it is truncated")


def _window(item: Any) -> tuple[float, float] | None:
    """(level, width) of the first window, as `sam_ft.transforms.window` means them.

    DICOM's LINEAR counts from pixel value to pixel value, LINEAR_EXACT does not; any other function is no window.
    Source: DICOM PS3.3 C.11.2.1.2.
    """
    centres, widths = (_numbers(item, name) for name in ("WindowCenter", "WindowWidth"))
    function = "LINEAR" if item is None else str(item.get("VOILUTFunction") or "LINEAR")
    if not centres or not widths or function not in ("LINEAR", "LINEAR_EXACT"):
        return None
    centre, width = centres[0], widths[0]
    if function == "LINEAR" and width > 1:
        centre, width = centre - 0.5, width - 1
    return (centre, width) if math.isfinite(centre) and math.isfinite(width) and width > 0 else None


def _numbers(item: Any, name: str) -> Sequence[float]:
    value = None if item is None else item.get(name)
    if value is None or value == "":
        return ()
    return [float(number) for number in np.atleast_1d(np.array(value, dtype=float))]
