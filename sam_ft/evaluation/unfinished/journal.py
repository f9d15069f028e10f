"""What an evaluation has finished so far, unit by unit, so that one that was killed goes on where it was."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from sam_ft.checks import shortened
from sam_ft.evaluation.unfinished.entries import from_json, to_json
from sam_ft.evaluation.unfinished.locks import locked

_logger = logging.getLogger(__name__)
_NOTHING = object()
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Journals(Generic[Entry]):
    """The journals of all processes that share an evaluation: files in one folder, each with one writer.

    The first line of a file says what is measured; nothing is taken over that was measured of another model, data set
    or protocol. Then comes a line for each finished image or volume, in the order in which they were finished. A line
    that a kill has cut short is as if it were not there.

    Attributes:
        folder: Where they are.
        purpose: What is measured, as JSON has it.
        entry: The type of what is kept of each unit; see `to_json`.
        count: Of all units, those that are to be finished included.
        name_of: By what the results of a unit are told from those of others; None where it has none.
        unit: What a unit is called.
    """

    folder: Path
    purpose: Mapping[str, Any] = field(repr=False)
    entry: type[Entry]
    count: int
    name_of: Callable[[Entry], str | None] = field(repr=False)
    unit: str = "image"

    def finished(self) -> dict[int, Entry]:
        """What is kept of each unit that any process has finished, in their order.

        Raises:
            ValueError: A line is damaged.
        """
        merged: dict[int, Entry] = {}
        for path in self._paths():
            lines = _whole_lines(path)
            if lines and not _differing(_purpose_in(lines, path), self.purpose):
                merged.update(self._unit(path, number, line) for number, line in enumerate(lines[1:], start=2))
        return dict(sorted(merged.items()))

    def num_finished(self) -> int:
        """How many units are finished, without a look at what is kept of them."""
        return sum(self._num_finished(path) for path in self._paths())

    def expect_complete(self) -> dict[int, Entry]:
        """All units.

        Raises:
            ValueError: Some are not finished, two have one name, or a line is damaged.
        """
        finished = self.finished()
        if missing := sorted(set(range(self.count)) - finished.keys()):
            raise ValueError(
                f"Expected all {self.count} {self.unit}s in {self.folder}, but {len(missing)} are missing (the first "
                f"is number {missing[0] + 1}): run the same command again."
            )
        self._expect_different_names(finished.values())
        return finished

    def warn_of_others(self) -> None:
        """Say how many finished units are not taken over, and why."""
        num_dropped, keys = 0, set[str]()
        for path in self._paths():
            lines = _whole_lines(path)
            if len(lines) > 1 and (differing := _differing(_purpose_in(lines, path), self.purpose)):
                num_dropped += len(lines) - 1
                keys |= differing
        if num_dropped:
            _logger.warning(
                "%d finished %ss in %s are dropped, since they were measured with another %s.",
                num_dropped, self.unit, self.folder, shortened(", ".join(sorted(keys)), 200),
            )  # fmt: skip

    def writer(self, number: int) -> JournalWriter[Entry]:
        """Of the file of one process; raises as `JournalWriter`."""
        return JournalWriter(self.folder / f"{number}.jsonl", self.purpose)

    def remove(self) -> None:
        """Take them away, once what they keep is written elsewhere.

        Raises:
            ValueError: Another process writes one of them; then all of them stay.
        """
        with ExitStack() as held:
            paths = self._paths()
            for path in paths:
                held.enter_context(locked(path))
            for path in paths:
                path.unlink()
        with suppress(OSError):  # somebody else's files are there, or nothing is
            self.folder.rmdir()

    def _expect_different_names(self, entries: Iterable[Entry]) -> None:
        names = set[str]()
        for name in map(self.name_of, entries):
            if name in names:
                raise ValueError(
                    f"Expected {self.unit}s of different names, by which results are told apart, but got two of {name}."
                )
            if name is not None:
                names.add(name)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.jsonl") if path.is_file())

    def _num_finished(self, path: Path) -> int:
        """In one file; read in pieces, since it is done again and again while others write."""
        with path.open("rb") as file:
            first = file.readline()
            if not first.endswith(b"\n") or _differing(_purpose_in([first], path), self.purpose):
                return 0
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))

    def _unit(self, path: Path, number: int, line: bytes) -> tuple[int, Entry]:
        try:
            content = json.loads(line)
            return int(content["index"]), from_json(self.entry, content["entry"])
        except (ValueError, LookupError, TypeError, AttributeError, zlib.error) as err:
            raise ValueError(
                f"Expected a finished {self.unit} in line {number} of {path}, but it is damaged ({err!r}): remove it."
            ) from err


class JournalWriter(Generic[Entry]):
    """Adds to one journal, which nobody else writes meanwhile.

    It is held from the beginning. What a kill has cut short, or was measured for another purpose, goes with the first
    unit; a file without any goes at the end.

    Args:
        path: Of the file, `.jsonl`.
        purpose: What is measured.

    Raises:
        ValueError: Another process writes the file, its first line is damaged, or the system cannot lock files.
    """

    def __init__(self, path: Path, purpose: Mapping[str, Any]) -> None:
        self.path = path
        self._purpose = purpose
        self._file = locked(path)
        try:
            self._length = self._length_of_own()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file as file:
            if not os.fstat(file.fileno()).st_size:
                self.path.unlink()
                with suppress(OSError):  # others are there
                    self.path.parent.rmdir()

    def add(self, index: int, entry: Entry) -> None:
        """Write down a unit, so that not even the end of the machine loses it."""
        file = self._file
        line = json.dumps({"index": index, "entry": to_json(entry)})
        first = "" if self._length else f"{json.dumps(self._purpose, sort_keys=True)}\n"
        text = f"{first}{line}\n".encode()
        file.truncate(self._length)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        self._length += len(text)

    def _length_of_own(self) -> int:
        """In bytes, of what stays in the file."""
        lines = _whole_lines(self.path)
        is_own = bool(lines) and not _differing(_purpose_in(lines, self.path), self._purpose)
        return sum(map(len, lines)) if is_own else 0


def _whole_lines(path: Path) -> list[bytes]:
    """The lines that end; none where there is no file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return [line for line in file if line.endswith(b"\n")]


def _purpose_in(lines: list[bytes], path: Path) -> Mapping[str, Any]:
    """What the first line says."""
    try:
        return dict(json.loads(lines[0]))
    except (ValueError, TypeError) as err:
        raise ValueError(
            f"Expected line 1 of {path} to say what is measured, but it is damaged ({err!r}): remove the file."
        ) from err


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The settings in which two purposes differ, by name, such as `data.root`."""
    flat, others = (_flat(json.loads(json.dumps(each))) for each in (one, other))
    return {key for key in flat.keys() | others.keys() if flat.get(key, _NOTHING) != others.get(key, _NOTHING)}


def _flat(settings: Mapping[str, Any], *, before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, before=f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found
