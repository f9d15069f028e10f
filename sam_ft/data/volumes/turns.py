"""One process makes an entry of a cache, and the others wait for it instead of making the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LONGEST_WAIT_S = 600.0


@contextmanager
def turn(lock_path: Path) -> Iterator[bool]:
    """Waits while another process has its turn with the same lock file, which is removed afterwards.

    Gives whether nobody was waited for. If somebody was, the entry should be there now; if it is not (there was no
    room, or the other process was killed), it is best made after this context, where nobody waits in turn. Where no
    lock can be had, in a folder that cannot be written to or after ten minutes, everybody makes the entry.

    What is in the entry has to be complete before the turn ends: a process that comes later may find no lock.
    """
    lock = FileLock(lock_path)
    is_first = _acquire(lock, lock_path)
    try:
        yield is_first
    finally:
        if lock.is_locked:
            with suppress(OSError):
                lock_path.unlink(missing_ok=True)
            lock.release()


def _acquire(lock: FileLock, lock_path: Path) -> bool:
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            lock.acquire(timeout=_LONGEST_WAIT_S)
            return False
    except (OSError, NotImplementedError):  # `Timeout` is an OSError
        return True
    return True
