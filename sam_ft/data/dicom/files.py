"""Which DICOM files lie in a folder, and which series they make."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_ft.data.damaged import reading
from sam_ft.files import is_file
from sam_ft.optional import require

_NO_IMAGES = ("SEG", "SR", "KO", "PR", "REG", "DOC", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD")
_DIRECTORY = "1.2.840.10008.1.3.10"
"""Media Storage Directory: DICOMDIR, a table of contents."""
_MAGIC_AT = 128


@dataclass(frozen=True)
class DicomFile:
    """What the header of a file says about where it belongs."""

    path: Path
    size_bytes: int
    time_ns: int
    instance: str  # SOPInstanceUID
    series: str  # SeriesInstanceUID
    patient: str  # PatientID; empty where it was removed
    modality: str
    number: str  # SeriesNumber
    description: str  # SeriesDescription


@dataclass(frozen=True)
class DicomSeries:
    """The files of one series, in the order of their paths."""

    files: tuple[DicomFile, ...]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.files[0].series

    @property
    def folder(self) -> Path:
        """The deepest folder that holds all of them."""
        return Path(os.path.commonpath([file.path.parent for file in self.files]))

    def __str__(self) -> str:
        first = self.files[0]
        name = f"{first.number or '?'} {first.description!r}"
        return f"{name} ({first.modality}, {len(self.files)} files such as {first.path})"


@contextmanager
def reading_dicom(path: Path, expected: str) -> Iterator[None]:
    """`reading` with pydicom's errors, which come at once or when a value is asked for; without its warnings.

    Raises:
        ValueError: As `reading`.
        MissingPackageError: pydicom is not installed.
    """
    errors = require("pydicom.errors", extra="dicom")
    own = (errors.InvalidDicomError, errors.BytesLengthException)
    with reading(path, expected, also=own), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break the standard; those that are used are checked
        yield


def read_header(path: Path, *, tags: Sequence[str]) -> Any:
    """The pydicom `Dataset` of a file with these elements alone, without its pixels; within `reading_dicom`.

    Raises:
        ValueError: All of it is deflated, and would be inflated at once however large that is.
    """
    pydicom = require("pydicom", extra="dicom")
    syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax is not None and syntax.is_deflated:
        raise ValueError("it is deflated as a whole, which is not read here: rewrite it, as dcmconv +te does")
    return pydicom.dcmread(path, specific_tags=list(tags), stop_before_pixels=True)


def dicom_files(folder: Path) -> list[DicomFile]:
    """All DICOM files at any depth, in the order of their paths; hidden files, DICOMDIR and others are passed over.

    Raises:
        ValueError: A file that ends in `.dcm` and is none, or a DICOM file that belongs to no series.
    """
    paths = sorted(
        Path(place) / name for place, _, names in os.walk(folder) for name in names if not name.startswith(".")
    )
    return [file for path in paths if _is_dicom(path) and (file := dicom_file(path)) is not None]


def dicom_file(path: Path) -> DicomFile | None:
    """The entry of one file; None for a DICOMDIR.

    Raises:
        ValueError: The file cannot be read, or belongs to no series.
    """
    tags = ("SOPInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "SeriesNumber", "SeriesDescription")
    with reading_dicom(path, "an image or label of a series"):
        header, stat = read_header(path, tags=tags), path.stat()
        if header.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
            return None
        values = ["" if header.get(tag) is None else str(header.get(tag)).strip() for tag in tags]
        if not values[0] or not values[1]:
            raise ValueError("it does not say its SOPInstanceUID and SeriesInstanceUID")
    return DicomFile(path, stat.st_size, stat.st_mtime_ns, *values)


def series_of(files: Sequence[DicomFile]) -> list[DicomSeries]:
    """The series of images among files, in the order of their first paths; segmentations, reports and plans are none.

    Raises:
        ValueError: One image is there twice.
    """
    by_uid: dict[str, list[DicomFile]] = defaultdict(list)
    seen: dict[str, DicomFile] = {}
    for file in files:
        if file.modality in _NO_IMAGES:
            continue
        if (first := seen.setdefault(file.instance, file)) is not file:
            raise ValueError(
                f"Expected each image once, but {first.path} and {file.path} are the same one (SOPInstanceUID "
                f"{file.instance}): remove a copy, or make the patterns narrower."
            )
        by_uid[file.series].append(file)
    return [DicomSeries(tuple(members)) for members in by_uid.values()]


def _is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's magic number."""
    if not is_file(path):
        if path.suffix.lower() == ".dcm":
            raise ValueError(f"Expected a DICOM file in {path}, but it is no file.")
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_MAGIC_AT + 4)
    except OSError as err:
        raise ValueError(f"Expected to read {path}, but {err.strerror}.") from err
    if start[_MAGIC_AT:] == b"DICM":
        return True
    if path.suffix.lower() == ".dcm":
        what = "empty" if not start else "no DICOM file (it has no DICM after 128 bytes)"
        raise ValueError(f"Expected a DICOM file in {path}, but it is {what}.")
    return False
