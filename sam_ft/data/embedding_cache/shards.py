"""Embeddings on the disk: one row for each image and view, many rows in a file that is written once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sam_ft.files import atomic_write
from sam_ft.types import ImageEmbedding

_logger = logging.getLogger(__name__)


class Shards:
    """The rows of one folder by their keys, in numbered safetensors files.

    Any number of processes may read; whoever writes must be the only one. A file comes into its place whole and never
    changes, so that what a reader has found stays right. Reading maps a file into memory: processes share its pages,
    and what is not asked for is not read. Channels come last, as an image encoder puts them out: the decoder takes
    them so without a copy, and rounds as it would without the cache.

    Args:
        folder: of the files; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, tuple[Path, list[str]]] = {}  # the file of each row, and its tensors' names
        self._opened: dict[Path, Any] = {}
        self.look()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def look(self) -> list[Path]:
        """Find out which rows there are now; returns the files that cannot be read, whose rows do not count."""
        self._places, damaged = {}, []
        for path in self._files():
            try:
                with safe_open(path, framework="pt") as shard:
                    names = list(shard.keys())
            except (SafetensorError, OSError):
                damaged.append(path)
                continue
            self._place(path, names)
        return damaged

    def tidy(self) -> None:
        """Look, and remove what cannot be read: damaged files, and those that a killed process was writing."""
        for path in self.look():
            _logger.warning("%s cannot be read and is removed: its images are encoded again.", path)
            path.unlink()
        for path in self.folder.glob(".*.partial.*"):
            path.unlink()

    def read(self, key: str) -> ImageEmbedding:
        """One row, of one image: (1, C, h, w).

        Raises:
            KeyError: there is no such row.
        """
        path, names = self._places[key]
        if path not in self._opened:
            self._opened[path] = safe_open(path, framework="pt")
        features, *others = (self._opened[path].get_tensor(name).permute(0, 3, 1, 2) for name in names)
        return ImageEmbedding(features=features, high_resolution=tuple(others))

    def write(self, rows: Mapping[str, ImageEmbedding]) -> None:
        """A new file of some rows, each of one image (1, C, h, w); no rows, no file.

        Raises:
            ValueError: it cannot be written.
        """
        if not rows:
            return
        tensors = {
            f"{key}.{number}": tensor.permute(0, 2, 3, 1).contiguous()  # (1, h, w, C)
            for key, row in rows.items()
            for number, tensor in enumerate((row.features, *row.high_resolution))
        }
        number = max((int(path.stem) for path in self._files()), default=0) + 1
        target = self.folder / f"{number:06d}.safetensors"
        try:
            with atomic_write(target) as path:
                save_file(tensors, path, metadata={"format": "pt"})
        except (SafetensorError, OSError) as err:
            raise ValueError(f"Expected to write embeddings to {target}, but that failed: {err}.") from err
        self._place(target, list(tensors))

    def _place(self, path: Path, names: Sequence[str]) -> None:
        """Note what a file holds."""
        for name in sorted(names):
            key = name.partition(".")[0]
            self._places.setdefault(key, (path, []))[1].append(name)

    def _files(self) -> Iterator[Path]:
        return (path for path in sorted(self.folder.glob("*.safetensors")) if path.stem.isdecimal())

    def __getstate__(self) -> dict[str, Any]:
        """A worker opens the files itself."""
        return {**vars(self), "_opened": {}}
