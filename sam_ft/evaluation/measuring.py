"""An interactive measurement of one part of a data set: what a model answered and how good it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.asking.interactive import evaluate_interactively
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import User
from sam_ft.evaluation.records.file import NAMES, RecordsFormat, write_records
from sam_ft.evaluation.records.intervals import intervals
from sam_ft.evaluation.records.mask_record import MaskRecord, of_summary
from sam_ft.evaluation.records.parts import Parts, by_class, by_set, whole_summary
from sam_ft.evaluation.records.summaries import write_summary
from sam_ft.evaluation.showing.cases import ShownCase
from sam_ft.evaluation.showing.kept_answers import KeptAnswers
from sam_ft.metrics.bootstrap import Interval, ends_of
from sam_ft.metrics.calibration import Calibration, calibration
from sam_ft.types import Batch, PromptableModel


@dataclass(frozen=True)
class Measurement:
    """What a model answered and how good it was."""

    records: Sequence[MaskRecord]
    answers: Mapping[tuple[str, int, str, int], tuple[MaskRecord, Tensor]] = field(repr=False)
    """(image, object, prompt, number of clicks) -> record and mask (H, W) bool, of the shown cases alone."""
    places: Mapping[str, int] = field(default_factory=dict, repr=False)
    """Name of an image -> its index in the data set."""

    @property
    def summary(self) -> dict[str, float]:
        """mIoU by prompt, and after how many clicks a good mask was there."""
        return whole_summary(self.records)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The 95 % interval of each figure of the summary; empty for a few images."""
        return intervals(self.records)

    @cached_property
    def classes(self) -> Parts:
        """The same for each class, and the means over classes."""
        return by_class(self.records)

    @cached_property
    def sets(self) -> Parts:
        """The same for each set of a mixture, and the means over sets; no part of any other data set."""
        return by_set(self.records)

    @property
    def calibration(self) -> Calibration:
        """What the model thinks of its masks against what they are, over the records that figures are wanted of."""
        records = of_summary(self.records)
        predicted = torch.tensor([record.predicted_iou for record in records])
        return calibration(predicted, torch.tensor([record.iou for record in records]))

    def write(self, output: str | Path, *, records: RecordsFormat = "csv") -> None:
        """Write `summary.json`, and the records as `records.csv` or `records.parquet`."""
        calibrated = self.calibration
        summary: dict[str, object] = {
            **self.summary,
            "intervals": ends_of(self.intervals),
            "predicted_iou": {"error": calibrated.error, "bias": calibrated.bias},
        }
        summary |= self.classes.as_json("classes") | self.sets.as_json("sets")
        write_summary(Path(output) / "summary.json", summary)
        write_records(Path(output) / NAMES[records], self.records)


def measure(
    model: PromptableModel,
    samples: SampleDataset,
    *,
    clicks: Sequence[int] = (1, 3, 5),
    shown: Sequence[ShownCase] = (),
    batch_size: int = 4,
    num_workers: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Measurement:
    """`measure_interactively` with clicks and a box alone, and of several masks the most confident alone.

    Args:
        model: any promptable model.
        samples: the data set.
        clicks: after which numbers of clicks to measure.
        shown: as there.
        batch_size: as there.
        num_workers: as there.
        on_batch: as there.
    """
    return measure_interactively(
        model,
        samples,
        Questions(clicks=clicks, oracle=False),
        shown=shown,
        batch_size=batch_size,
        num_workers=num_workers,
        on_batch=on_batch,
    )


def measure_interactively(
    model: PromptableModel,
    samples: SampleDataset,
    questions: Questions,
    *,
    user: User | None = None,
    shown: Sequence[ShownCase] = (),
    batch_size: int = 4,
    num_workers: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> Measurement:
    """Ask a model for every object of every sample.

    Args:
        model: any promptable model.
        samples: the data set.
        questions: what each object is asked for with.
        user: who clicks; None: `SimulatedUser`.
        shown: the objects whose masks are kept for pictures.
        batch_size: images encoded at once.
        num_workers: processes that read and prepare.
        on_batch: receives the number of images done with each batch, for showing progress.
    """
    kept = KeptAnswers(shown)
    places: dict[str, int] = {}

    def count(records: list[MaskRecord]) -> None:
        if on_batch is not None:
            on_batch(len({record.image for record in records}))

    def placed(batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            places.update({sample.name: len(places) + turn for turn, sample in enumerate(batch.samples)})
            yield batch

    batches = whole_batches(samples, image_size=model.image_size, batch_size=batch_size, num_workers=num_workers)
    records = evaluate_interactively(model, placed(batches), questions, user=user, on_batch=count, on_prediction=kept)
    return Measurement(records=records, answers=kept.answers, places=places)
