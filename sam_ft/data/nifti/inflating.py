"""Voxels out of a gzip file, by ISA-L's inflation (about 2.5 times as fast as zlib's)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from isal import igzip

_PIECE = 1 << 22


def inflate(path: Path, *, offset: int, num_bytes: int) -> np.ndarray:
    """(num_bytes,) uint8: a part of the inflated file.

    The file is inflated to its end, so that its checksum is compared and damage anywhere is found.

    Raises:
        EOFError: The file ends before.
        OSError: It cannot be read or inflated, or its checksum is wrong (`isal.igzip.IGzipFile`'s errors).
    """
    with igzip.open(path, "rb") as file:
        _skip(file, offset)
        content = np.empty(num_bytes, dtype=np.uint8)  # takes no memory before it is written to
        view = content.data
        done = 0
        while done < num_bytes:
            count = file.readinto(view[done : done + _PIECE])
            if not count:
                raise EOFError(f"it ends after {offset + done} of at least {offset + num_bytes} bytes")
            done += count
        while file.read(_PIECE):
            pass
    return content


def _skip(file: igzip.IGzipFile, num_bytes: int) -> None:
    done = 0
    while done < num_bytes:
        piece = file.read(min(_PIECE, num_bytes - done))
        if not piece:
            raise EOFError(f"it ends after {done} of more than {num_bytes} bytes")
        done += len(piece)
