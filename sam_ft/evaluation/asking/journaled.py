"""An interactive measurement that several processes share, and that goes on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.asking.interactive import evaluate_interactively
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import User
from sam_ft.evaluation.measuring import Measurement, measure_interactively
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.showing.cases import ShownCase
from sam_ft.evaluation.showing.kept_answers import KeptAnswers
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.evaluation.unfinished.shares import OpenShare, Shard, open_share
from sam_ft.types import Batch, PromptableModel

Answers = dict[tuple[str, int, str, int], tuple[MaskRecord, Tensor]]
"""As in `Measurement.answers`."""


def image_of(records: Sequence[MaskRecord]) -> str | None:
    """The image that has these records; None where it has no object, and so nothing to be told apart."""
    return records[0].image if records else None


@dataclass(frozen=True)
class JournaledMeasurement:
    """What is to be measured of which model, and how.

    Attributes:
        model: Any promptable model.
        samples: The data set.
        questions: What each object is asked for with.
        user: Who clicks.
        journals: What is finished: the records of each image.
        batch_size: Images encoded at once.
        num_workers: Processes that read and prepare.
    """

    model: PromptableModel
    samples: SampleDataset
    questions: Questions
    user: User
    journals: Journals[list[MaskRecord]]
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
        kept, report = KeptAnswers(shown), on_images or (lambda count: None)
        with open_share(self.journals, shard, batch_size=self.batch_size) as share:
            report(len(share.done))
            self._ask(share, report=report, keep=kept)
        return kept.answers

    def result(self, answers: Answers, *, shown: Sequence[ShownCase]) -> Measurement:
        """Everything that was written down; shown objects without an answer are asked for again."""
        finished = self.journals.expect_complete()
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

    def _ask(self, share: OpenShare[list[MaskRecord]], *, report: Callable[[int], object], keep: KeptAnswers) -> None:
        names: list[str] = []

        def named(loaded: Iterable[Batch]) -> Iterator[Batch]:
            for batch in loaded:
                names[:] = [sample.name for sample in batch.samples]
                yield batch

        def write(records: list[MaskRecord]) -> None:
            for name in names:
                share.add([record for record in records if record.image == name])
            report(len(names))

        loaded = whole_batches(
            torch.utils.data.Subset(self.samples, share.indices),  # type: ignore[arg-type]
            image_size=self.model.image_size,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )
        evaluate_interactively(
            self.model, named(loaded), self.questions, user=self.user, on_batch=write, on_prediction=keep
        )
