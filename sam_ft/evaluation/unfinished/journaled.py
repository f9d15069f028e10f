"""A measurement that is written down image by image: several processes share it, and one that was killed goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.asking.asked_objects import Answer
from sam_ft.evaluation.asking.interactive import evaluate_interactively
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import User
from sam_ft.evaluation.measuring import Measurement, measure_interactively
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.showing.cases import ShownCase
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.types import Batch, PromptableModel

Answers = dict[tuple[str, int, str, int], tuple[MaskRecord, Tensor]]
"""As in `Measurement.answers`."""


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


@dataclass(frozen=True)
class JournaledMeasurement:
    """What is to be measured of which model, and how.

    Images are asked for in batches that depend neither on the number of processes nor on what was finished before, so
    that these change no figure.

    Attributes:
        model: Any promptable model.
        samples: The data set.
        questions: What each object is asked for with.
        user: Who clicks.
        journals: What is finished.
        batch_size: Images encoded at once.
        num_workers: Processes that read and prepare.
    """

    model: PromptableModel
    samples: SampleDataset
    questions: Questions
    user: User
    journals: Journals
    batch_size: int = 4
    num_workers: int = 0

    def go_on(
        self, shard: Shard, *, shown: Sequence[ShownCase] = (), on_images: Callable[[int], object] | None = None
    ) -> Answers:
        """Ask for what is unfinished, a share of it alone, and write it down.

        Args:
            shard: Which share.
            shown: Objects whose masks are kept for pictures.
            on_images: Receives the number of images done with each batch; at first of those that were finished before.

        Returns:
            As `Measurement.answers`, of the shown objects that were asked for now.
        """
        finished = self.journals.finished()
        batches = [
            range(first, min(first + self.batch_size, len(self.samples)))
            for first in range(0, len(self.samples), self.batch_size)
        ]
        share = batches[shard.number - 1 :: shard.count]  # whatever others have finished meanwhile
        mine = [batch for batch in share if any(index not in finished for index in batch)]
        report = on_images or (lambda count: None)
        report(sum(map(len, share)) - sum(map(len, mine)))
        wanted = {(case.sample.name, case.object_index) for case in shown}
        answers: Answers = {}

        def keep(record: MaskRecord, answer: Answer) -> None:
            if (record.image, record.object_index) in wanted:
                answers[record.image, record.object_index, record.prompt, record.num_clicks] = (record, answer() > 0)

        self._ask(mine, writing=shard.number, report=report, keep=keep)
        return answers

    def result(self, answers: Answers, *, shown: Sequence[ShownCase]) -> Measurement:
        """Everything that was written down; shown objects without an answer are asked for again."""
        finished = self.journals.finished()
        answered = {key[:2] for key in answers}
        missing = [case for case in shown if (case.sample.name, case.object_index) not in answered]
        again = measure_interactively(
            self.model,
            [case.sample for case in missing],
            self.questions,
            user=self.user,
            shown=missing,
            batch_size=1,
        )
        return Measurement(
            records=[record for records in finished.values() for record in records],
            answers={**answers, **again.answers},
            places={records[0].image: index for index, records in finished.items() if records},
        )

    def _ask(
        self,
        batches: Sequence[range],
        *,
        writing: int,
        report: Callable[[int], object],
        keep: Callable[[MaskRecord, Answer], None],
    ) -> None:
        journal = self.journals.of_process(writing)
        indices = [index for batch in batches for index in batch]
        names: list[str] = []
        places = iter(batches)

        def named(loaded: Iterable[Batch]) -> Iterator[Batch]:
            for batch in loaded:
                names[:] = [sample.name for sample in batch.samples]
                yield batch

        def write(records: list[MaskRecord]) -> None:
            for index, name in zip(next(places), names, strict=True):
                journal.add(index, [record for record in records if record.image == name])
            report(len(names))

        loaded = whole_batches(
            torch.utils.data.Subset(self.samples, indices),  # type: ignore[arg-type]
            image_size=self.model.image_size,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )
        evaluate_interactively(
            self.model, named(loaded), self.questions, user=self.user, on_batch=write, on_prediction=keep
        )
