"""What one of several processes has to measure of an evaluation that they share."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from sam_ft.evaluation.unfinished.journal import Entry, Journals, JournalWriter


@dataclass(frozen=True)
class Shard:
    """The share of one of several processes.

    Attributes:
        number: Which process, from 1.
        count: How many there are.

    Raises:
        ValueError: There is no such process.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"Expected `shard` to be such as 1/4 or 4/4, but got {self.number}/{self.count}.")

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """From a text such as 2/4.

        Raises:
            ValueError: It is none.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ValueError(f"Expected `shard` to be such as 1/4, but got {text!r}.")
        return cls(int(number), int(count))


class OpenShare(Generic[Entry]):
    """What is left to measure, to be written down unit by unit.

    Units are measured in batches that depend neither on the number of processes nor on what was finished before, so
    that these change no figure: where one unit of a batch is missing, all of it is measured again.

    Args:
        batches: Of the whole share.
        finished: Units that any process has finished.
        writer: Of the share's journal.

    Attributes:
        batches: Of what is left, in its order.
        done: Units of the share that need not be measured.
    """

    def __init__(self, batches: list[range], *, finished: Collection[int], writer: JournalWriter[Entry]) -> None:
        is_done = [all(index in finished for index in batch) for batch in batches]
        self.batches = [batch for batch, done in zip(batches, is_done, strict=True) if not done]
        self.done = [index for batch, done in zip(batches, is_done, strict=True) if done for index in batch]
        self._finished = finished
        self._writer = writer
        self._next = iter(self.indices)

    @property
    def indices(self) -> list[int]:
        """Of the units in all batches."""
        return [index for batch in self.batches for index in batch]

    def add(self, entry: Entry) -> None:
        """Write down the next unit; one of another process that was written down before is passed over."""
        if (index := next(self._next)) not in self._finished:
            self._writer.add(index, entry)


@contextmanager
def open_share(journals: Journals[Entry], shard: Shard, *, batch_size: int = 1) -> Iterator[OpenShare[Entry]]:
    """Begin or go on with a share, whose journal nobody else writes meanwhile.

    Args:
        journals: What is finished.
        shard: Which share.
        batch_size: Units measured at once.

    Raises:
        ValueError: Another process does the same share, or a journal is damaged.
    """
    with journals.writer(shard.number) as writer:
        finished = journals.finished().keys()
        every = [
            range(first, min(first + batch_size, journals.count)) for first in range(0, journals.count, batch_size)
        ]
        share = every[shard.number - 1 :: shard.count]  # whatever others have finished meanwhile
        yield OpenShare(share, finished=finished, writer=writer)
