"""Hostile NIfTI files, as images and as labels, plain and in gzip."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.volumes.slice_cache import SliceCache
from tests.data.hostile.case import SEED, Case, broken, make_pipe

SHAPE = (8, 9, 10)
VOXELS = np.random.default_rng(SEED).integers(0, 3, SHAPE)
HUGE = 32767


def read_case(path: Path) -> object:
    """As the image of a good label, or as the label of a good image, by the name of the file."""
    kind = path.name.partition(".")[0]
    for other in {"image", "label"} - {kind}:
        nibabel.save(nibabel.Nifti1Image(VOXELS.astype(np.uint8), np.eye(4)), path.parent / f"{other}.nii")
    patterns = {"image": f"{path.parent}/image.nii", "label": f"{path.parent}/label.nii"} | {kind: str(path)}
    return list(NiftiSlices(patterns["image"], patterns["label"], cache=SliceCache(disk_gib=0, folder=path.parent)))


def volume_cases() -> Iterator[Case]:
    """All of this file."""
    for kind in ("image", "label"):
        good = saved(VOXELS.astype(np.int16))
        for packed in (False, True):
            file, group = f"{kind}.nii{'.gz' * packed}", f"NIfTI {kind}s{' in gzip' * packed}"
            content = gzip.compress(good, mtime=0) if packed else good
            for name, bad, may_be_read in broken(
                content, cuts=8, flips=10, header=20 if packed else 352, magic=0 if packed else 344
            ):
                yield Case(group, name, file, bad, read_case, may_be_read)
            for name, make in HEADERS.items():
                bad = bytes(make())
                yield Case(group, name, file, gzip.compress(bad, 1, mtime=0) if packed else bad, read_case)
            yield Case(group, "a pipe", file, make_pipe, read_case)
            yield Case(group, "a folder", file, Path.mkdir, read_case)
        for name, bad in PACKED.items():
            yield Case(f"NIfTI {kind}s in gzip", name, f"{kind}.nii.gz", bad, read_case)
        for name, start in BOMBS.items():
            yield Case(f"NIfTI {kind}s in gzip", name, f"{kind}.nii.gz", partial(write_bomb, start=start), read_case)
    for name, voxels in LABELS.items():
        yield Case("NIfTI labels", name, "label.nii", saved(voxels), read_case)
    for name, voxels in IMAGES.items():
        yield Case("NIfTI images", name, "image.nii", saved(voxels), read_case)


def saved(voxels: np.ndarray) -> bytes:
    return nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes()


def changed(place: int, form: str, *values: Any) -> Callable[[], bytes]:
    """A good file of which a field of the header is another."""

    def make() -> bytes:
        content = bytearray(saved(VOXELS.astype(np.int16)))
        struct.pack_into(form, content, place, *values)
        return bytes(content)

    return make


def extension(claimed: int, *, offset: float) -> bytes:
    """A header that is followed by an extension of a claimed length, and says where the voxels begin."""
    content = bytearray(saved(VOXELS.astype(np.int16))[:352])
    struct.pack_into("<f", content, 108, offset)
    content[348:352] = b"\1\0\0\0"
    return bytes(content) + struct.pack("<ii", claimed, 4) + bytes(range(256))


def huge_second_version() -> bytes:
    """Lengths of 64 bits."""
    content = bytearray(nibabel.Nifti2Image(VOXELS.astype(np.int16), np.eye(4)).to_bytes())
    struct.pack_into("<8q", content, 16, 7, *[2**40] * 7)
    return bytes(content)


def write_bomb(path: Path, *, start: bytes) -> None:
    """A gzip file of a start and 300 MiB of zeros."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(300):
            file.write(bytes(1 << 20))


def lying_length() -> bytes:
    """A gzip file that says another length of its content than it has."""
    content = bytearray(gzip.compress(saved(VOXELS.astype(np.int16)), mtime=0))
    struct.pack_into("<I", content, len(content) - 4, 2**32 - 1)
    return bytes(content)


HEADERS: dict[str, Callable[[], bytes]] = {
    "terabytes": changed(40, "<8h", 3, HUGE, HUGE, HUGE, 1, 1, 1, 1),
    "seven dimensions of terabytes": changed(40, "<8h", 7, *[HUGE] * 7),
    "twice as many slices": changed(40, "<8h", 3, 8, 9, 20, 1, 1, 1, 1),
    "a negative length": changed(40, "<8h", 3, 8, -9, 10, 1, 1, 1, 1),
    "no length": changed(40, "<8h", 3, 8, 0, 10, 1, 1, 1, 1),
    "no dimensions": changed(40, "<h", 0),
    "two dimensions": changed(40, "<8h", 2, 8, 90, 1, 1, 1, 1, 1),
    "nine dimensions": changed(40, "<h", 9),
    "a negative number of dimensions": changed(40, "<h", -3),
    "an unknown type": changed(70, "<h", 9999),
    "colours": changed(70, "<hh", 128, 24),
    "complex numbers": changed(70, "<hh", 32, 64),
    "voxels that begin at NaN": changed(108, "<f", float("nan")),
    "voxels that begin at infinity": changed(108, "<f", float("inf")),
    "voxels that begin at 1e30": changed(108, "<f", 1e30),
    "voxels that begin before the file": changed(108, "<f", -1e9),
    "an affine of NaN": changed(280, "<12f", *[float("nan")] * 12),
    "an affine of infinity": changed(280, "<12f", *[float("inf")] * 12),
    "an affine of zeros": changed(280, "<12f", *[0.0] * 12),
    "another magic": changed(344, "<4s", b"ni9\0"),
    "an extension of 2 GiB": lambda: extension(2**31 - 16, offset=2.0**31),
    "an extension of a negative length": lambda: extension(-16, offset=2.0**20),
    "an extension beyond the voxels": lambda: extension(2**20, offset=512.0),
    "a NIfTI-2 header of terabytes": huge_second_version,
    "NaN alone": lambda: saved(np.full(SHAPE, np.nan, np.float32)),
}
PACKED = {
    "a length that lies": lying_length(),
    "a wrong checksum": gzip.compress(saved(VOXELS.astype(np.int16)), mtime=0)[:-8] + bytes(8),
    "something after the end": gzip.compress(saved(VOXELS.astype(np.int16)), mtime=0) + b"garbage" * 10,
    "no gzip": saved(VOXELS.astype(np.int16)),
}
BOMBS = {
    "an extension that inflates to 300 MiB": extension(2**31 - 16, offset=2.0**31),
    "an extension of 2 GiB before near voxels that inflates": extension(2**31 - 16, offset=2.0**20),
    "an extension of a negative length that inflates": extension(-16, offset=2.0**20),
    "voxels that inflate to far more than the header says": saved(VOXELS.astype(np.int16)),
    "zeros that inflate to 300 MiB": b"",
}
LABELS = {
    "fractions": VOXELS.astype(np.float32) + 0.5,
    "a single NaN": np.where(VOXELS == 1, np.float32(np.nan), VOXELS),
    "infinity": np.where(VOXELS == 1, np.float32(np.inf), VOXELS),
    "numbers beyond 64 bits": np.where(VOXELS == 1, 1e30, VOXELS),
    "negative numbers": VOXELS.astype(np.int16) - 1,
    "no object": np.zeros(SHAPE, np.uint8),
    "another grid": np.ones((8, 9, 11), np.uint8),
    "a series": np.ones((*SHAPE, 3), np.uint8),
}
IMAGES = {
    "infinity alone": np.full(SHAPE, np.inf, np.float32),
    "a series": np.ones((*SHAPE, 3), np.uint8),
    "another grid": np.ones((8, 9, 11), np.uint8),
}
