"""Which content a file has, told without reading all of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PIECE = 1 << 16
_FORMAT = 1
"""Of what is kept under the keys; raised when the way it is made changes."""


@dataclass(frozen=True)
class FileIdentity:
    """What is compared to know a file again: its size, its time of change, and a hash of three pieces of it.

    The pieces are 64 KiB at the beginning, in the middle and at the end. The end of a gzip file holds the checksum of
    everything in it, so for `.nii.gz` a change of any voxel shows.
    """

    paths: tuple[Path, ...]
    sizes: tuple[int, ...]
    times_ns: tuple[int, ...]
    content: str

    @classmethod
    def of(cls, paths: Sequence[Path]) -> FileIdentity:
        """The identity of a volume that lies in one file or in several (header and image)."""
        digest = hashlib.blake2b(digest_size=16)
        stats = [_add(digest, path) for path in paths]
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


def _add(digest: hashlib.blake2b, path: Path) -> os.stat_result:
    with open(path, "rb") as file:
        stat = os.fstat(file.fileno())
        for start in sorted({0, max(stat.st_size // 2, 0), max(stat.st_size - _PIECE, 0)}):
            file.seek(start)
            digest.update(file.read(_PIECE))
    digest.update(str(stat.st_size).encode())
    return stat
