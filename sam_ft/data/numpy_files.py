"""Arrays of numbers in `.npy` files and in `.npz` archives: never unpickled, never larger than the file can hold."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from sam_ft.data.damaged import MOST_INFLATION, reading

_Result = TypeVar("_Result")

_PIECE = 1 << 22
_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class ArrayHeader:
    """What the first bytes of an array say of it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool

    @property
    def num_bytes(self) -> int:
        """Of all its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: Path) -> np.ndarray:
    """The array in a `.npy` file, in the machine's byte order.

    Raises:
        ValueError: No such file, no array, Python objects instead of numbers, or fewer bytes than its header claims.
    """
    return _read(path, None, _array)


def npy_header(path: Path) -> ArrayHeader:
    """Shape and type of the array in a `.npy` file, without its numbers; raises as `read_npy`."""
    return _read(path, None, _header)


def read_npz(path: Path, key: str) -> np.ndarray:
    """One array of a `.npz` archive; the others are not inflated. Its checksum is compared.

    Raises:
        ValueError: As `read_npy`; no archive, or none with this array.
    """
    return _read(path, key, _array)


def npz_header(path: Path, key: str) -> ArrayHeader:
    """Shape and type of one array of a `.npz` archive, without its numbers; raises as `read_npz`."""
    return _read(path, key, _header)


def npz_keys(path: Path) -> tuple[str, ...]:
    """The names of the arrays in a `.npz` archive; raises as `read_npz`."""
    with _reading(path, "arrays"), zipfile.ZipFile(path) as archive:
        return _keys(archive)


def _reading(path: Path, expected: str) -> AbstractContextManager[None]:
    return reading(path, expected, also=(zipfile.BadZipFile,), because="it cannot be read: ")


def _read(path: Path, key: str | None, take: Callable[[IO[bytes], int], _Result]) -> _Result:
    """What `take` makes of the bytes of an array and of how many they are at most."""
    if key is None:
        with _reading(path, "an array"), path.open("rb") as file:
            return take(file, os.fstat(file.fileno()).st_size)
    with _reading(path, f"an array `{key}`"), zipfile.ZipFile(path) as archive:
        member = _member(archive, key)
        with archive.open(member) as file:
            return take(file, min(member.file_size, member.compress_size * MOST_INFLATION))


def _member(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(f"{key}.npy")
    except KeyError as err:
        raise ValueError(f"it has none, but {', '.join(_keys(archive)) or 'nothing at all'}") from err


def _keys(archive: zipfile.ZipFile) -> tuple[str, ...]:
    return tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


def _header(file: IO[bytes], most_bytes: int) -> ArrayHeader:
    version = np.lib.format.read_magic(file)
    if version not in _READ_HEADER:
        raise ValueError(f"its format is {version}, expected 1.0 or 2.0")
    shape, fortran_order, dtype = _READ_HEADER[version](file)
    header = ArrayHeader(shape, dtype, fortran_order)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {dtype} instead of numbers")
    if min(shape, default=0) < 0 or header.num_bytes > most_bytes:
        raise ValueError(f"its header claims {header.num_bytes} bytes for shape {shape}, but it has {most_bytes}")
    return header


def _array(file: IO[bytes], most_bytes: int) -> np.ndarray:
    header = _header(file, most_bytes)
    content = np.empty(header.num_bytes, dtype=np.uint8)  # takes no memory before it is written to
    view, done = content.data, 0
    while done < len(content):
        piece = file.read(min(_PIECE, len(content) - done))
        if not piece:
            raise EOFError(f"it ends after {done} of {len(content)} bytes")
        view[done : done + len(piece)] = piece
        done += len(piece)
    if file.read(1):  # at the end an archive's checksum is compared
        raise ValueError(f"it goes on after the {len(content)} bytes of its header")
    array = content.view(header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")
    return array.astype(header.dtype.newbyteorder("="), copy=False)
