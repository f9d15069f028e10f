"""What an evaluation has finished so far, image by image, so that one that was killed goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sam_ft.evaluation.records.mask_record import MaskRecord


class Journal:
    """A file with one line for each finished image, in the order in which they were finished.

    The first line says what is measured: of another model, data set or protocol nothing is taken over, and the first
    image begins the file anew. A line that a kill has cut short is as if it were not there. A file has one writer.

    Args:
        path: Of the file, `.jsonl`; the first image makes it.
        purpose: What is measured, as JSON has it.

    Attributes:
        finished: The records of each image that was finished before, by the image's place in the data set.
    """

    def __init__(self, path: str | Path, purpose: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._purpose = json.dumps(purpose, sort_keys=True)
        lines = _whole_lines(self.path)
        self._length = sum(map(len, lines)) if lines and lines[0].decode().rstrip("\n") == self._purpose else 0
        entries = [json.loads(line) for line in lines[1:]] if self._length else []
        self.finished = {entry["index"]: [_record(given) for given in entry["records"]] for entry in entries}

    def add(self, index: int, records: Sequence[MaskRecord]) -> None:
        """Write down an image, so that not even the end of the machine loses it."""
        entry = json.dumps({"index": index, "records": [asdict(record) for record in records]})
        text = (f"{entry}\n" if self._length else f"{self._purpose}\n{entry}\n").encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "xb") as file:
            file.truncate(self._length)
            file.seek(self._length)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._length += len(text)


@dataclass(frozen=True)
class Journals:
    """The journals of all processes that share an evaluation, in one folder.

    Attributes:
        folder: Where they are.
        purpose: What is measured, as JSON has it.
    """

    folder: Path
    purpose: Mapping[str, Any] = field(repr=False)

    def finished(self) -> dict[int, list[MaskRecord]]:
        """The records of each image that any process has finished, in the order of the images."""
        merged: dict[int, list[MaskRecord]] = {}
        for path in self.folder.glob("*.jsonl"):
            merged |= Journal(path, self.purpose).finished
        return dict(sorted(merged.items()))

    def num_finished(self) -> int:
        """How many images are finished, without a look at their records."""
        purpose = json.dumps(self.purpose, sort_keys=True).encode() + b"\n"
        files = [_whole_lines(path) for path in self.folder.glob("*.jsonl")]
        return sum(len(lines) - 1 for lines in files if lines[:1] == [purpose])

    def of_process(self, number: int) -> Journal:
        """The one that a process writes."""
        return Journal(self.folder / f"{number}.jsonl", self.purpose)

    def remove(self) -> None:
        """Take them away, once their records are written elsewhere."""
        for path in self.folder.glob("*.jsonl"):
            path.unlink()
        with suppress(OSError):  # somebody else's files are there, or nothing is
            self.folder.rmdir()


def _whole_lines(path: Path) -> list[bytes]:
    """The lines that end; none where there is no file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return [line for line in file if line.endswith(b"\n")]


def _record(given: Mapping[str, Any]) -> MaskRecord:
    """What `asdict` and JSON have made of a record, whose tuples are lists there."""
    return MaskRecord(**{name: _tuples(value) for name, value in given.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
