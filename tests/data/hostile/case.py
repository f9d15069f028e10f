"""One hostile file: what it holds, who reads it, and what may come of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Read = Callable[[Path], object]
"""Reads the hostile file at a path as a data set does; what belongs to it is put beside it."""
SEED = 20240


@dataclass(frozen=True)
class Case:
    """A file that no data set should be lost to.

    Attributes:
        group: The kind of file, by which tests are named.
        name: What is wrong with it.
        file: Its path below a folder of its own.
        content: Its bytes, or what makes something else in its place.
        read: Reads it.
        may_be_read: Whether it may be good by chance; then any error but a ValueError is still wrong.
    """

    group: str
    name: str
    file: str
    content: bytes | Callable[[Path], object]
    read: Read
    may_be_read: bool = False

    def write(self, folder: Path) -> Path:
        """Put the file into a folder."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


def broken(
    good: bytes, *, cuts: int, flips: int = 0, header: int = 64, magic: int = 0
) -> Iterator[tuple[str, bytes, bool]]:
    """What happens to any file, as (name, content, may be read): it is empty, another one, cut, or damaged.

    Args:
        good: A whole file.
        cuts: How many cuts at random places before nine tenths of it.
        flips: How many copies with one to four changed bytes, of which half are in the header.
        header: Its length.
        magic: Where two of the bytes are by which the file is known.
    """
    random = np.random.default_rng([SEED, len(good)])
    yield "empty", b"", False
    yield "one byte", good[:1], False
    yield "zeros", bytes(4096), False
    yield "a page", b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 40, False
    yield "random bytes", random.bytes(4096), False
    yield "not UTF-8", b"\xff\xfe\xfa\x80" * 300, False
    known = bytes([good[magic] ^ 0x5A, good[magic + 1] ^ 0xA5])
    yield "wrong magic", good[:magic] + known + good[magic + 2 :], False
    for place in sorted(random.integers(2, int(len(good) * 0.9), cuts).tolist()):
        yield f"cut after {place} of {len(good)} bytes", good[:place], False
    for number in range(flips):
        changed = bytearray(good)
        for place in random.integers(0, min(header, len(good)) if number % 2 else len(good), random.integers(1, 5)):
            changed[place] = int(random.integers(256))
        yield f"changed bytes {number}", bytes(changed), True


def make_pipe(path: Path) -> None:
    """Something that nobody writes to, so that whoever opens it waits for ever."""
    os.mkfifo(path)
