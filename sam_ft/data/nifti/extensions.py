"""What lies between the header of a NIfTI file and its voxels, looked at before anything is read by its own account."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip

from sam_ft.data.nifti.inflating import DAMAGED

_MOST_BYTES = 1 << 24
_FORMATS = {540: (540, 168, "q", 16, "q"), 348: (348, 108, "f", 40, "h")}
"""Length of the header -> itself; where it says the voxels begin, and in which type; the same of the dimensions."""


def refuse_impossible_extensions(path: Path) -> None:
    """Checks where the voxels begin, and that the extensions before them are no longer than that.

    nibabel reads as much as an extension claims to have, which a small gzip file can inflate to.

    Raises:
        ValueError: Voxels that begin nowhere or beyond 16 MiB, or an extension that is no part of that.
    """
    packed = path.suffix.lower() == ".gz"
    if not path.name.lower().removesuffix(".gz").endswith(".nii"):
        return
    try:
        with igzip.open(path, "rb") if packed else open(path, "rb") as file:
            _check(cast(BinaryIO, file), path)
    except DAMAGED:
        return  # nibabel will find it, too


def _check(file: BinaryIO, path: Path) -> None:
    start = file.read(544)
    length, place, kind, dimensions, kind_of_dimensions = _FORMATS[540 if start[4:7] in (b"n+2", b"ni2") else 348]
    if len(start) < length + 4:
        return
    little = 0 <= struct.unpack_from(f"<{kind_of_dimensions}", start, dimensions)[0] <= 7
    order = "<" if little else ">"
    (offset,) = struct.unpack_from(f"{order}{kind}", start, place)
    if not (math.isfinite(offset) and 0 <= offset <= _MOST_BYTES):
        raise ValueError(
            f"Expected the voxels of {path} to begin within its first {_MOST_BYTES} bytes, but its header says at byte "
            f"{offset:g}."
        )
    between = (start + file.read(max(int(offset) - len(start), 0)))[length + 4 : int(offset)]
    done, has_extensions = 0, start[length] != 0
    while has_extensions and len(between) - done >= 16:
        (size,) = struct.unpack_from(f"{order}i", between, done)
        if not 8 <= size <= len(between) - done:
            raise ValueError(
                f"Expected extensions of the header of {path} of {len(between) - done} bytes at most, but one claims "
                f"to have {size}."
            )
        done += size
