"""What a server says about the file of which a part has come, so that parts of two files are never put together."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path

_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)", re.IGNORECASE)


@dataclass(frozen=True)
class FileState:
    """A state of a file on a server; None for what the server does not say.

    Args:
        etag: Its entity tag, if it is strong, so that it changes with every byte (RFC 9110, section 8.8.1).
        modified: Its Last-Modified.
        num_bytes: Its whole length.
    """

    etag: str | None = None
    modified: str | None = None
    num_bytes: int | None = None

    @property
    def validator(self) -> str | None:
        """What a request may give as If-Range, to get a part of this state or else all of the new one."""
        return self.etag or self.modified

    def differs_from(self, other: FileState) -> bool:
        """Whether the two cannot be the same bytes; what one of them leaves open is no difference."""
        if self.etag and other.etag:
            is_other = self.etag != other.etag
        else:
            is_other = bool(self.modified and other.modified) and self.modified != other.modified
        return is_other or (None not in (self.num_bytes, other.num_bytes) and self.num_bytes != other.num_bytes)


def state_of(headers: Message, *, num_bytes: int | None) -> FileState:
    """The state that an answer is of; `num_bytes` where the answer is the whole file."""
    etag = _one_line(headers["ETag"])
    return FileState(
        etag=etag if etag and etag.startswith('"') else None,  # a weak one begins with W/
        modified=_one_line(headers["Last-Modified"]),
        num_bytes=num_bytes,
    )


def content_range(headers: Message) -> tuple[int | None, int | None]:
    """The first byte of an answer and the length of the whole file; None for what it does not say."""
    found = _CONTENT_RANGE.fullmatch((headers["Content-Range"] or "").strip())
    if found is None:
        return None, None
    start, total = found["start"], found["total"]
    return None if start is None else int(start), None if total == "*" else int(total)


def note_of(partial: Path) -> Path:
    """Where the state of an unfinished file is kept."""
    return partial.with_name(f"{partial.name}.json")


def begin(partial: Path, state: FileState) -> None:
    """Empties the unfinished file and notes of which state the bytes are that come now.

    In this order: were it stopped between the two, there would be no byte that a wrong state could vouch for.
    """
    partial.write_bytes(b"")
    note_of(partial).write_text(json.dumps(asdict(state)), encoding="utf-8")


def read_state(partial: Path) -> FileState:
    """The state that the bytes of an unfinished file are of; nothing is known where no whole note of it is there."""
    try:
        content = json.loads(note_of(partial).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return FileState()
    if not isinstance(content, dict):
        return FileState()
    num_bytes = content.get("num_bytes")
    return FileState(
        etag=_one_line(content.get("etag")),
        modified=_one_line(content.get("modified")),
        num_bytes=num_bytes if isinstance(num_bytes, int) else None,
    )


def discard(partial: Path) -> None:
    """Removes an unfinished file and its note."""
    partial.unlink(missing_ok=True)
    note_of(partial).unlink(missing_ok=True)


def _one_line(value: object) -> str | None:
    """A text that may stand in a header again; None for anything else."""
    return value if isinstance(value, str) and value and value.isascii() and value.isprintable() else None
