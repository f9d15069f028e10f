"""Errors of libraries that read files, as one line that names the file."""

from __future__ import annotations

import struct
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sam_ft.files import is_file

MOST_INFLATION = 1032
"""A byte of deflated data gives at most this many (zlib's technical details)."""

_DAMAGE: tuple[type[Exception], ...] = (
    OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, RuntimeError,
    ArithmeticError, MemoryError, SyntaxError, struct.error, zlib.error, tokenize.TokenError,
)  # fmt: skip
"""What libraries raise at files that are damaged or made to do harm."""
_LONGEST_REASON = 200


@contextmanager
def reading(path: Path, expected: str, *, also: tuple[type[Exception], ...] = (), because: str = "") -> Iterator[None]:
    """Turns whatever a library raises of a damaged file into a clear error; what has no end is not opened at all.

    Args:
        path: Of the file.
        expected: What it should hold, such as "an image".
        also: Errors of the library's own that are derived from `Exception` alone.
        because: What is said before the reason, such as "it cannot be decoded: ".

    Raises:
        ValueError: "Expected (what was expected) in (the file), but (the first line of the reason)."
    """
    try:
        if not is_file(path):
            raise FileNotFoundError("there is no such file")
        yield
    except (*_DAMAGE, *also) as err:
        reason = next(iter(str(err).splitlines()), type(err).__name__)[:_LONGEST_REASON]
        raise ValueError(f"Expected {expected} in {path}, but {because}{reason.rstrip('.')}.") from err
