"""Which content a file has: told by all of it, or, of a large gzip file, by the checksum at its end."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

_PIECE = 1 << 16
_GZIP = b"\x1f\x8b"
_SETTLED_NS = 2_000_000_000
"""A file that was written less long ago may be written again without another time: file systems count in steps."""
_FORMAT = 2
"""Of what is kept under the keys; raised when the way it is made changes."""


@dataclass(frozen=True)
class FileIdentity:
    """What is compared to know a file again: its size, its time of change, and a hash of its content.

    Of a gzip file that holds exactly what its reader expects, three pieces of 64 KiB are hashed, at the beginning, in
    the middle and at the end: the end holds the CRC-32 of everything in it. Of every other file all is hashed, so that
    a change of any voxel shows. A gzip file of several members (of bgzip, or joined) is such another file: its end is
    the checksum of the last member alone.
    """

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]
    times_ns: tuple[int, ...]
    content: str

    @classmethod
    def of(cls, paths: Sequence[Path], *, inflated_bytes: int | None = None) -> FileIdentity:
        """The identity of a volume that lies in one file or in several (header and image).

        Args:
            paths: Of the files.
            inflated_bytes: How many bytes a gzip file holds, as its reader knows from the header; None: unknown.
        """
        digest = hashlib.blake2b(digest_size=16)
        stats = [os.stat(path) for path in paths]
        for path, stat in zip(paths, stats, strict=True):
            # Nobody can set the time of the inode, so that a change within a file shows even if its own time is kept.
            state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            read = _content if time.time_ns() - stat.st_ctime_ns > _SETTLED_NS else _content.__wrapped__
            digest.update(read(path, inflated_bytes, state).encode())
        sizes, times = tuple(stat.st_size for stat in stats), tuple(stat.st_mtime_ns for stat in stats)
        return cls(tuple(paths), sizes, times, digest.hexdigest())

    def key(self, *parts: object) -> str:
        """A name for what was made of this file with the given settings (anything that JSON can write)."""
        text = json.dumps([_FORMAT, self.sizes, self.times_ns, self.content, *parts], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def refuse_change(self) -> None:
        """Checks by size and time that the files are still the ones that were opened.

        Raises:
            ValueError: A file is gone or was written since.
        """
        for path, size, time_ns in zip(self.paths, self.sizes, self.times_ns, strict=True):
            try:
                stat = os.stat(path)
            except OSError as err:
                raise ValueError(f"Expected {path} as it was when the data set was made, but {err.strerror}.") from err
            if (stat.st_size, stat.st_mtime_ns) != (size, time_ns):
                raise ValueError(f"Expected {path} as it was when the data set was made, but it was written since.")


@lru_cache(maxsize=10_000)
def _content(path: Path, inflated_bytes: int | None, _state: tuple[int, ...]) -> str:
    """The hash of a file; remembered in this process as long as the state of its inode is the same."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if inflated_bytes is None or not _is_one_member(file, size, inflated_bytes):
            file.seek(0)
            return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
        digest = hashlib.blake2b(str(size).encode(), digest_size=16)
        for start in sorted({0, size // 2, max(size - _PIECE, 0)}):
            file.seek(start)
            digest.update(file.read(_PIECE))
    return digest.hexdigest()


def _is_one_member(file: BinaryIO, size: int, inflated_bytes: int) -> bool:
    """Whether the last member of a gzip file, whose size and checksum stand at its end, holds all that is expected.

    Source: RFC 1952, section 2.3: the size is counted modulo 2^32, so that of more than that nobody can tell.
    """
    if size < 18 or inflated_bytes >= 1 << 32 or file.read(2) != _GZIP:
        return False
    file.seek(size - 4)
    return int.from_bytes(file.read(4), "little") == inflated_bytes
