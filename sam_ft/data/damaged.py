"""Errors of libraries that read files, as one line that names the file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DAMAGE: tuple[type[Exception], ...] = (
    OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError,
    RuntimeError, ArithmeticError, MemoryError, SyntaxError, struct.error, zlib.error,
)  # fmt: skip
_LONGEST_REASON = 200


@contextmanager
def reading(path: Path, expected: str, *, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turns whatever a library raises of a damaged file into a clear error.

    Args:
        path: Of the file.
        expected: What it should hold, such as "an image".
        also: Errors of the library's own that are derived from `Exception` alone.

    Raises:
        ValueError: "Expected (what was expected) in (the file), but (the first line of the reason)."
    """
    try:
        yield
    except (*_DAMAGE, *also) as err:
        reason = next(iter(str(err).splitlines()), type(err).__name__)[:_LONGEST_REASON]
        raise ValueError(f"Expected {expected} in {path}, but {reason.rstrip('.')}.") from err
