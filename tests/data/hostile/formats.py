"""Hostile TIFF stacks, images of 16 bits, archives of arrays, and DICOM files."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import tifffile
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from sam_ft.data.dicom.cases import SeriesChoice
from sam_ft.data.dicom.volume import DicomVolume
from sam_ft.data.image_files import stored_pixels
from sam_ft.data.medsam.archives import open_archive
from sam_ft.data.medsam.images import NpzImage
from sam_ft.data.tiff_stacks import TiffStacks
from tests.data.dicom.conftest import DicomFiles
from tests.data.hostile import images
from tests.data.hostile.case import SEED, Case, broken, make_pipe

PAGES = np.random.default_rng(SEED).integers(0, 5000, (3, 24, 24)).astype(np.uint16)
LABELS = (PAGES > 2500).astype(np.uint8)
DEEP = np.random.default_rng(SEED).integers(0, 65535, (24, 24, 3)).astype(np.uint16)


def format_cases() -> Iterator[Case]:
    """All of this file."""
    for kind, pages in (("images", PAGES), ("labels", LABELS)):
        for compression in (None, "zlib"):
            content = tiff(pages, compression=compression)
            for name, bad, may_be_read in broken(content, cuts=5, flips=6, header=400):
                named = f"{name}{' in zlib' * (compression is not None)}"
                yield Case(f"TIFF stacks of {kind}", named, f"{kind}/bad.tif", bad, read_stack, may_be_read)
        for name, bad in (STACKS | (images.TIFF if kind == "images" else {})).items():
            yield Case(f"TIFF stacks of {kind}", name, f"{kind}/bad.tif", bad, read_stack)
        yield Case(f"TIFF stacks of {kind}", "a pipe", f"{kind}/bad.tif", make_pipe, read_stack)
    for suffix, content in (("png", deep_png()), ("tif", tiff(DEEP, compression="zlib", photometric="rgb"))):
        for name, bad, may_be_read in broken(content, cuts=5, flips=6):
            yield Case("deep images", f"{suffix}: {name}", f"bad.{suffix}", bad, stored_pixels, may_be_read)
    for name, bad in STACKS.items():
        may_be_read = name == "a strip that inflates to 300 MiB"  # libtiff stops where the pixels end
        yield Case("deep images", f"tif: {name}", "bad.tif", bad, stored_pixels, may_be_read)
    for name, bad in DEEP_PNG.items():
        yield Case("deep images", name, "bad.png", bad, stored_pixels)
    yield from _archives()
    yield from _dicom()


def read_stack(path: Path) -> object:
    """As the images of good labels, or as the labels of good images."""
    for kind, pages in (("images", PAGES), ("labels", LABELS)):
        if kind != path.parent.name:
            (path.parents[1] / kind).mkdir()
            tifffile.imwrite(path.parents[1] / kind / path.name, pages, photometric="minisblack")
    return list(TiffStacks(path.parents[1] / "images", path.parents[1] / "labels"))


def tiff(pages: np.ndarray, *, compression: str | None, photometric: str = "minisblack") -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pages, compression=compression, photometric=photometric)
    return file.getvalue()


def deflated_tiff(width: int, height: int, data: bytes) -> bytes:
    """A TIFF of 8 bits in one deflated strip."""
    start = images.tiff(
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 800),
        (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, len(data)),
    )  # fmt: skip
    return start.ljust(800, b"\0") + data


def zeros_deflated(num_mib: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(num_mib)) + packer.flush()


def deep_png() -> bytes:
    return bytes(cv2.imencode(".png", DEEP)[1])


def _archives() -> Iterator[Case]:
    good = npz(imgs=images.PIXELS, gts=images.LABELS)
    for name, bad, may_be_read in broken(good, cuts=6, flips=8):
        yield Case("archives", name, "bad.npz", bad, read_archive, may_be_read)
    for key in ("imgs", "gts"):
        for name, bad in images.NPY.items():
            arrays = {"imgs": images.saved(images.PIXELS, "npy"), "gts": images.saved(images.LABELS, "npy")}
            yield Case("archives", f"{key}: {name}", "bad.npz", zipped(**(arrays | {key: bad})), read_archive)
    yield Case("archives", "numbers that go on for 300 MiB", "bad.npz", write_endless_archive, read_archive)
    yield Case("archives", "a pipe", "bad.npz", make_pipe, read_archive)
    yield Case("archives", "a folder", "bad.npz", Path.mkdir, read_archive)


def read_archive(path: Path) -> object:
    archive = open_archive(path, root=path.parent)
    case = NpzImage(archive.name, archive.name, path, pixel_mm=archive.pixel_mm)
    return case.read_image(), case.read_labels()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, content in members.items():
            archive.writestr(f"{key}.npy", content)
    return file.getvalue()


def write_endless_archive(path: Path) -> None:
    """A picture of which nobody needs what follows."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("gts.npy", images.saved(images.LABELS, "npy"))
        with archive.open("imgs.npy", "w") as file:
            file.write(images.saved(images.PIXELS, "npy"))
            for _ in range(300):
                file.write(bytes(1 << 20))


def _dicom() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        paths = DicomFiles(Path(folder)).save_series("series", PAGES.transpose(2, 1, 0))
        good = paths[0].read_bytes()
        for name, bad, may_be_read in broken(good, cuts=6, flips=12, header=700, magic=128):
            yield Case("DICOM files", name, "bad.dcm", bad, read_series, may_be_read)
        for name, elements in NO_DICOM.items():
            yield Case("DICOM files", name, "bad.dcm", changed_dicom(paths[0], **elements), read_series)
        for syntax in (RLELossless, DeflatedExplicitVRLittleEndian):
            bad = good.replace(b"1.2.840.10008.1.2.1\0", syntax.encode().ljust(20, b"\0"))
            yield Case("DICOM files", f"not {syntax.name} as it says", "bad.dcm", bad, read_series)
    start = good[: good.index(b"1.2.840.10008.1.2.1\0")]
    yield Case("DICOM files", "300 MiB of zeros, deflated", "bad.dcm", partial(write_deflated, start=good), read_series)
    yield Case("DICOM files", "an element without end", "bad.dcm", start + b"\xff" * 400, read_series)
    yield Case("DICOM files", "a pipe", "bad.dcm", make_pipe, read_series)


def read_series(path: Path) -> object:
    return DicomVolume.of(SeriesChoice().only(path.parent)).read()


def changed_dicom(path: Path, **elements: Any) -> bytes:
    """A good file with other elements; None: without."""
    dataset: FileDataset = pydicom.dcmread(path)
    for key, value in elements.items():
        if value is None:
            delattr(dataset, key)
        else:
            setattr(dataset, key, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def write_deflated(path: Path, *, start: bytes) -> None:
    """A file whose elements are deflated, and zeros behind."""
    dataset = pydicom.dcmread(io.BytesIO(start))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    content = file.getvalue()
    begin = 144 + int.from_bytes(content[140:144], "little")  # after the group of the file itself
    packer = zlib.compressobj(1, wbits=-15)
    with path.open("wb") as written:
        written.write(content[:begin] + packer.compress(zlib.decompress(content[begin:], wbits=-15)))
        for _ in range(300):
            written.write(packer.compress(bytes(1 << 20)))
        written.write(packer.flush())


STACKS = {
    "a strip that inflates to 300 MiB": deflated_tiff(24, 24, zeros_deflated(300)),
    "13000 x 13000 in 900 bytes, deflated": deflated_tiff(13000, 13000, zlib.compress(bytes(1000))),
    "terabytes, deflated": deflated_tiff(2**31, 2**31, zlib.compress(bytes(1000))),
    "a strip of too few bytes": deflated_tiff(24, 24, zlib.compress(bytes(100))),
    "a strip that is no zlib": deflated_tiff(24, 24, bytes(range(200))),
}
DEEP_PNG = {
    "13000 x 13000 in 100 bytes": images.png(13000, 13000, depth=16),
    "800 x 900 in 100 bytes": images.png(800, 900, depth=16),
    "a bomb of 60000 x 60000": images.png(60000, 60000, depth=16, colour=6),
    "too few pixels": images.png(24, 24, images.chunk(b"IDAT", zlib.compress(bytes(100))), depth=16),
    "pixels that are no zlib": images.png(24, 24, images.chunk(b"IDAT", bytes(range(200))), depth=16),
    "no pixels": images.png(24, 24, images.chunk(b"tEXt", b"a\0b"), depth=16, colour=4),
}
NO_DICOM: Mapping[str, Mapping[str, Any]] = {
    "terabytes": {"Rows": 65535, "Columns": 65535, "NumberOfFrames": 2**31 - 1},
    "13000 x 13000": {"Rows": 13000, "Columns": 13000},
    "no rows": {"Rows": 0},
    "a negative number of frames": {"NumberOfFrames": -3},
    "no place": {"ImagePositionPatient": None},
    "no direction": {"ImageOrientationPatient": None},
    "directions of zeros": {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
    "no distance": {"PixelSpacing": None},
    "a distance of zero": {"PixelSpacing": [0, 1]},
    "colours": {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3},
    "64 bits": {"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63},
    "more bits than there are": {"BitsStored": 99},
    "no pixels": {"PixelData": None},
    "no series": {"SeriesInstanceUID": None},
}
