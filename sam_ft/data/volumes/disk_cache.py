"""A folder of decoded volumes and of facts about them, bounded in size and shared by all processes."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from sam_ft.data.volumes.turns import turn
from sam_ft.files import atomic_write, write_json

_logger = logging.getLogger(__name__)
_IN_USE_S = 3600.0
_TOUCH_S = 60.0

Facts = dict[str, Any]
"""What JSON can hold."""


@dataclass(frozen=True)
class _Layout:
    """Where the planes of an entry lie in its `.npy` file."""

    start: int
    dtype: np.dtype
    shape: tuple[int, int, int]  # (planes, rows, columns)


class DiskCache:
    """Planes (`KEY.npy`) and facts (`KEY.json`) under keys that say what they were made of.

    Entries appear at once or not at all, so any number of processes may read and write. To make room, the entries
    that nobody has read for the longest time are removed, but none that was read within the last hour: a data set
    beyond the limit keeps what fits, and the rest is decoded anew each time, instead of all pushing each other out.
    A folder that cannot be written to is warned about once and not used.

    Args:
        folder: Made when first needed.
        max_bytes: Of all entries together; exceeded by at most one volume for each process that writes at the time.
            0: no planes, facts alone.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._layouts: dict[str, _Layout] = {}
        self._touched: dict[str, float] = {}
        self._said: set[str] = set()

    def plane(self, key: str, index: int) -> np.ndarray | None:
        """(rows, columns) one plane of an entry; None if there is no such entry."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                layout = self._layouts.get(key) or self._read_layout(key, file.fileno())
                _, rows, columns = layout.shape
                num_bytes = rows * columns * layout.dtype.itemsize
                content = os.pread(file.fileno(), num_bytes, layout.start + index * num_bytes)
        except (OSError, ValueError, EOFError):
            return None
        if len(content) != num_bytes:
            return None
        self._touch(key)
        return np.frombuffer(content, dtype=layout.dtype).reshape(rows, columns)

    def planes(self, key: str) -> np.ndarray | None:
        """(planes, rows, columns) all of an entry; None if there is no such entry."""
        try:
            content: np.ndarray = np.load(self._path(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        self._touch(key)
        return content

    def keep_planes(self, key: str, planes: np.ndarray) -> bool:
        """Writes an entry if there is room for it; whether it was written."""
        if planes.nbytes > self.max_bytes:
            if self.max_bytes:
                self._warn("volume", f"a volume of {planes.nbytes / 2**20:.0f} MiB is larger than all of the cache")
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._make_room(planes.nbytes, key=key):
                self._warn("room", "it is full of volumes in use; the others are decoded anew each time they are read")
                return False
            with atomic_write(self._path(key)) as partial, open(partial, "wb") as file:
                np.save(file, planes, allow_pickle=False)
        except (OSError, ValueError, Timeout) as err:
            self._warn("write", f"it cannot be written to: {err}")
            return False
        self._layouts.pop(key, None)
        self._say_where()
        return True

    def facts(self, key: str) -> Facts | None:
        """The facts under a key; None if there are none, or none that can be read."""
        path = self._path(key, ".json")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        self._touch(key, ".json")
        return content if isinstance(content, dict) else None

    def keep_facts(self, key: str, facts: Facts) -> None:
        """Writes facts under a key."""
        try:
            write_json(self._path(key, ".json"), facts)
        except (OSError, ValueError) as err:
            self._warn("write", f"it cannot be written to: {err}")

    def turn(self, key: str) -> AbstractContextManager[bool]:
        """A context to make an entry in, by one process after the other; see `sam_ft.data.volumes.turns.turn`."""
        return turn(self.folder / f".{key}.lock")

    def _path(self, key: str, ending: str = ".npy") -> Path:
        return self.folder / f"{key}{ending}"

    def _read_layout(self, key: str, descriptor: int) -> _Layout:
        with open(descriptor, "rb", closefd=False) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = read(file)
            if fortran_order or len(shape) != 3:
                raise ValueError(f"Expected planes in rows, but got shape {shape}.")
            self._layouts[key] = _Layout(start=file.tell(), dtype=dtype, shape=(shape[0], shape[1], shape[2]))
        return self._layouts[key]

    def _touch(self, key: str, ending: str = ".npy") -> None:
        """Notes for `_make_room` that an entry is in use, at most once a minute."""
        now = time.monotonic()
        if now - self._touched.get(key + ending, -_TOUCH_S) < _TOUCH_S:
            return
        self._touched[key + ending] = now
        try:
            os.utime(self._path(key, ending))
        except OSError:
            self._layouts.pop(key, None)  # removed by another process, or a folder that may only be read

    def _make_room(self, num_bytes: int, *, key: str) -> bool:
        """Removes old entries until an entry of `num_bytes` is within the limit, in place of its own one if any."""
        with FileLock(self.folder / ".lock", timeout=60):
            entries = _files_in(self.folder, but=(".lock", f"{key}.npy"))
            total = sum(size for _, size, _ in entries) + num_bytes
            oldest_in_use = time.time() - _IN_USE_S
            for changed, size, path in sorted(entries):
                if total <= self.max_bytes or changed > oldest_in_use:
                    break
                Path(path).unlink(missing_ok=True)
                total -= size
            return total <= self.max_bytes

    def _say_where(self) -> None:
        if "where" not in self._said:
            self._said.add("where")
            _logger.info("Decoded volumes are kept in %s, at most %.3g GiB.", self.folder, self.max_bytes / 2**30)

    def _warn(self, about: str, reason: str) -> None:
        if about not in self._said:
            self._said.add(about)
            _logger.warning(
                "Decoded volumes are kept in %s (at most %.3g GiB), but %s. Reading is slower so.",
                self.folder, self.max_bytes / 2**30, reason,
            )  # fmt: skip


def _files_in(folder: Path, *, but: Sequence[str]) -> list[tuple[float, int, str]]:
    """(time of change, size, path) of every file but those of some names."""
    found = []
    for item in os.scandir(folder):
        try:
            if item.name not in but and item.is_file():
                stat = item.stat()
                found.append((stat.st_mtime, stat.st_size, item.path))
        except FileNotFoundError:
            continue  # another process has given it its final name, or removed it
    return found
