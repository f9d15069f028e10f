"""Files that one process at a time may write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def locked(path: Path) -> BinaryIO:
    """A file to add to, made if it is not there, which this process alone may write until it closes it or ends.

    Raises:
        ValueError: Another process has it, or the system is one that cannot lock files so, such as Windows.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("ab")
        except FileNotFoundError:  # another process has just removed the folder
            continue
        try:
            _lock(file, path)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # another process has just removed it


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError as err:
        raise ValueError(
            f"Expected a system that can lock {path} for this process, such as Linux or macOS, but this one has no "
            "`fcntl`: on Windows, evaluate in WSL."
        ) from err
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        raise ValueError(f"Expected no other process to write {path}, but one does: wait until it has ended.") from err
