"""Writing files so that nothing half-written is ever seen, and which of them may be read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether there is a file that has an end: no folder, no device, and no pipe, on which a reader may wait for ever.

    A name that no file system takes is none either.
    """
    try:
        return path.is_file()
    except OSError:
        return False


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to; on success it takes `path`'s place at once, on an error it is removed.

    The temporary name ends like the final one, so that writers which look at the ending (`.nii.gz`, `.png`) see
    the same. Missing folders are created. A reader sees the old file or the new one, never a part.

    Raises:
        ValueError: `path` is a folder, or its folder cannot be made.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"Expected the path of a file to write, but got the folder {path}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ValueError(f"Expected a folder for {path.name}, but {path.parent} cannot be made: {err}.") from err
    temporary = path.with_name(f".{secrets.token_hex(4)}.partial.{path.name}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # some writers, such as safetensors, leave files that nobody else may read
        temporary.unlink()
        yield temporary
        temporary.chmod(mode)
        _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: object) -> None:
    """Write `content` as indented JSON, at once.

    Raises:
        ValueError: `content` holds NaN or infinity, which JSON cannot, or `path` cannot be written to.
    """
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as err:
        raise ValueError(f"Expected finite numbers for {path}, but got NaN or infinity.") from err
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def as_text(size: int) -> str:
    """A number of bytes as people read it."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if unit == "GiB" else f"{size / scale:.0f} {unit}"
    return f"{size / 2**10:.0f} KiB"


def _flush(path: Path) -> None:
    """Have the file's content on the disk before its name is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
