"""Small DICOM series and SEG objects for the tests of `sam_ft.data.dicom`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid

TO_LPS = np.diag([-1.0, -1.0, 1.0])
AFFINE = np.array([[-0.8, 0, 0, 30], [0, -0.5, 0, 20], [0, 0, 2.5, -40], [0, 0, 0, 1]])
"""Columns to the left, rows to the back, slices to the head, as a CT is stored."""


class DicomFiles:
    """Writes series below a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save_series(
        self,
        name: str,
        voxels: np.ndarray,
        affine: np.ndarray = AFFINE,
        *,
        change: Callable[[int, Dataset], None] | None = None,
        **elements: Any,
    ) -> list[Path]:
        """(columns, rows, slices) integers as a series of one file a slice, whose names do not tell the order."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        uid = elements.pop("SeriesInstanceUID", generate_uid())
        paths = []
        for index in range(voxels.shape[2]):
            dataset = _new_file(CTImageStorage, Modality="CT", SeriesInstanceUID=uid, PatientID=name.split("/")[0])
            set_pixels(dataset, voxels[:, :, index].T)
            set_place(dataset, affine, index)
            for key, value in elements.items():
                setattr(dataset, key, value)
            if change is not None:
                change(index, dataset)
            paths.append(folder / f"{(index * 7 + 3) % 101:03d}.dcm")
            dataset.save_as(paths[-1], enforce_file_format=True)
        return paths

    def save_segmentation(
        self,
        name: str,
        series: Sequence[Path],
        frames: Sequence[tuple[int, int, np.ndarray]],
        *,
        kind: str = "BINARY",
        names: Mapping[int, str] | None = None,
    ) -> Path:
        """A SEG object of frames (index into `series`, segment number, (rows, columns) bool or numbers)."""
        sources = [pydicom.dcmread(path) for path in series]
        first = sources[0]
        seg = _new_file(SegmentationStorage, Modality="SEG", SeriesInstanceUID=generate_uid())
        pixels = np.stack([frame for _, _, frame in frames])
        if kind == "BINARY":
            seg.BitsAllocated = seg.BitsStored = 1
            seg.HighBit = 0
            seg.PixelData = np.packbits(pixels.astype(bool).ravel(), bitorder="little").tobytes()
            seg.PixelData += b"\0" * (len(seg.PixelData) % 2)
            seg.SamplesPerPixel, seg.PhotometricInterpretation, seg.PixelRepresentation = 1, "MONOCHROME2", 0
        else:
            set_pixels(seg, pixels.astype(np.uint8))
        seg.NumberOfFrames, seg.Rows, seg.Columns = len(frames), *pixels.shape[1:]
        seg.SegmentationType = kind
        labels = names or {number: f"part {number}" for _, number, _ in frames}
        seg.SegmentSequence = Items([_item(SegmentNumber=number, SegmentLabel=text) for number, text in labels.items()])
        seg.ReferencedSeriesSequence = Items([_item(SeriesInstanceUID=first.SeriesInstanceUID)])
        seg.SharedFunctionalGroupsSequence = Items([_shared(first)])
        seg.PerFrameFunctionalGroupsSequence = Items([_frame(sources[index], number) for index, number, _ in frames])
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seg.save_as(path, enforce_file_format=True)
        return path

    def save_multi_frame(self, name: str, series: Sequence[Path]) -> Path:
        """The slices of a series as the frames of one enhanced object, last slice first."""
        sources = [pydicom.dcmread(path) for path in reversed(series)]
        first = sources[0]
        dataset = _new_file("1.2.840.10008.5.1.4.1.1.2.1", Modality="CT", SeriesInstanceUID=generate_uid())
        set_pixels(dataset, np.stack([source.pixel_array for source in sources]))
        dataset.NumberOfFrames = len(sources)
        shared = _shared(first)
        shared.PixelValueTransformationSequence = Items(
            [_item(RescaleSlope=first.get("RescaleSlope", 1), RescaleIntercept=first.get("RescaleIntercept", 0))]
        )
        dataset.SharedFunctionalGroupsSequence = Items([shared])
        dataset.PerFrameFunctionalGroupsSequence = Items([_frame(source, 1) for source in sources])
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path


def set_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    bits = pixels.dtype.itemsize * 8
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    content = np.ascontiguousarray(pixels).tobytes()
    dataset.add_new("PixelData", "OW" if bits > 8 else "OB", content + b"\0" * (len(content) % 2))


def set_place(dataset: Dataset, affine: np.ndarray, index: int) -> None:
    """Where slice `index` of a grid in RAS+ lies, in DICOM's own words."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    row, column = (TO_LPS @ affine[:3, axis] / lengths[axis] for axis in (0, 1))
    dataset.ImageOrientationPatient = [*row, *column]
    dataset.ImagePositionPatient = list(TO_LPS @ (affine[:3, 3] + index * affine[:3, 2]))
    dataset.PixelSpacing = [lengths[1], lengths[0]]
    dataset.SliceThickness = lengths[2]


def _new_file(kind: str, **elements: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, kind
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, generate_uid()
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for key, value in elements.items():
        setattr(dataset, key, value)
    return dataset


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for key, value in elements.items():
        setattr(item, key, value)
    return item


def _shared(source: Dataset) -> Dataset:
    return _item(
        PlaneOrientationSequence=Items([_item(ImageOrientationPatient=source.ImageOrientationPatient)]),
        PixelMeasuresSequence=Items([_item(PixelSpacing=source.PixelSpacing, SliceThickness=source.SliceThickness)]),
    )


def _frame(source: Dataset, segment: int) -> Dataset:
    return _item(
        PlanePositionSequence=Items([_item(ImagePositionPatient=source.ImagePositionPatient)]),
        SegmentIdentificationSequence=Items([_item(ReferencedSegmentNumber=segment)]),
    )


@pytest.fixture
def dicom(tmp_path: Path) -> DicomFiles:
    return DicomFiles(tmp_path)
