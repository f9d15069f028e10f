"""A model measured on one part of a data set, written as a folder: summary, records, a page with pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.asked_objects import Answer
from sam_ft.evaluation.interactive import evaluate_interactively
from sam_ft.evaluation.intervals import intervals
from sam_ft.evaluation.number_of_clicks import clicks_needed, failures
from sam_ft.evaluation.questions import Questions
from sam_ft.evaluation.records import (
    MaskRecord,
    mean_over,
    summarise,
    summarise_by_class,
    summarise_by_set,
    write_summary,
)
from sam_ft.evaluation.records_file import NAMES, RecordsFormat, write_records
from sam_ft.evaluation.report import Picture, PictureRow
from sam_ft.evaluation.users import User
from sam_ft.metrics.bootstrap import Interval
from sam_ft.metrics.calibration import Calibration, calibration
from sam_ft.pictures import overlay, to_png, view_around
from sam_ft.types import Batch, PromptableModel, Sample


@dataclass(frozen=True)
class ShownCase:
    """An object that the pages show: one sample of a data set and one of its objects."""

    sample: Sample
    object_index: int


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
        noc = {key: figure.mean for key, figure in clicks_needed(self.records).items()}
        summary = summarise(self.records)
        counts = {key: summary.pop(key) for key in ("num_masks", "num_images")}
        return {**summary, **noc, **failures(self.records), **counts}

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The 95 % interval of each mean of the summary; empty for a few images."""
        return intervals(self.records)

    @property
    def by_class(self) -> dict[str, dict[str, float]]:
        """mIoU by prompt for each class."""
        return summarise_by_class(self.records)

    @property
    def by_set(self) -> dict[str, dict[str, float]]:
        """mIoU by prompt for each set of a mixture; empty for any other data set."""
        return summarise_by_set(self.records)

    @property
    def calibration(self) -> Calibration:
        """What the model thinks of its masks against what they are, over all records."""
        predicted = torch.tensor([record.predicted_iou for record in self.records])
        return calibration(predicted, torch.tensor([record.iou for record in self.records]))

    def write(self, output: str | Path, *, records: RecordsFormat = "csv") -> None:
        """Write `summary.json`, and the records as `records.csv` or `records.parquet`."""
        calibrated = self.calibration
        summary: dict[str, object] = {
            **self.summary,
            "intervals": {key: [interval.low, interval.high] for key, interval in self.intervals.items()},
            "predicted_iou": {"error": calibrated.error, "bias": calibrated.bias},
        }
        for name, parts in (("classes", self.by_class), ("sets", self.by_set)):
            if parts:
                summary |= {name: parts, f"mean_over_{name}": mean_over(parts)}
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
    wanted = {(case.sample.name, case.object_index) for case in shown}
    answers: dict[tuple[str, int, str, int], tuple[MaskRecord, Tensor]] = {}
    places: dict[str, int] = {}

    def keep(record: MaskRecord, answer: Answer) -> None:
        if (record.image, record.object_index) in wanted:
            answers[record.image, record.object_index, record.prompt, record.num_clicks] = (record, answer() > 0)

    def count(records: list[MaskRecord]) -> None:
        if on_batch is not None:
            on_batch(len({record.image for record in records}))

    def placed(batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            places.update({sample.name: len(places) + turn for turn, sample in enumerate(batch.samples)})
            yield batch

    batches = whole_batches(samples, image_size=model.image_size, batch_size=batch_size, num_workers=num_workers)
    records = evaluate_interactively(model, placed(batches), questions, user=user, on_batch=count, on_prediction=keep)
    return Measurement(records=records, answers=answers, places=places)


def spread_evenly(count: int, length: int) -> list[int]:
    """Indices into something of a length, as far from each other and from its ends as possible; at most all."""
    count = min(count, length)
    return [(2 * turn + 1) * length // (2 * count) for turn in range(count)]


def spread_over(samples: SampleDataset, count: int) -> SampleDataset:
    """At most `count` samples of a data set, spread evenly over it; read when they are needed."""
    return torch.utils.data.Subset(samples, spread_evenly(count, len(samples)))  # type: ignore[arg-type]


def cases_to_show(samples: SampleDataset, count: int) -> list[ShownCase]:
    """Objects spread evenly over a data set, of changing classes and the largest of their class in their image."""
    cases = []
    for turn, index in enumerate(spread_evenly(count, len(samples))):
        sample = samples[index]
        names = sorted(set(sample.class_names))
        if names:
            name = names[turn % len(names)]
            areas = [
                int(mask.sum()) * (own == name) for mask, own in zip(sample.masks, sample.class_names, strict=True)
            ]
            cases.append(ShownCase(sample=sample, object_index=areas.index(max(areas))))
    return cases


def picture_row(
    case: ShownCase, measurements: Mapping[str, Measurement], *, prompt: str, num_clicks: int
) -> PictureRow:
    """One object: the first prompt and the truth, then what each model answered after the given prompts."""
    sample, index = case.sample, case.object_index
    truth = sample.masks[index]
    view = view_around(truth)
    answers = {
        name: measurement.answers[sample.name, index, prompt, num_clicks] for name, measurement in measurements.items()
    }
    asked = _in_words(prompt, num_clicks)
    title = f"{sample.name}, {sample.class_names[index]}, {asked}"
    pictures = [
        Picture(to_png(overlay(sample.image, view=view)), alt=f"The image of {title}", caption="image"),
        Picture(to_png(overlay(sample.image, truth=truth, view=view)), alt=f"The truth of {title}", caption="truth"),
    ]
    for name, (record, mask) in answers.items():
        drawn = overlay(
            sample.image, mask, truth=truth, points=record.points, labels=record.labels, box=record.box, view=view
        )
        pictures.append(Picture(to_png(drawn), alt=f"{name}: {title}", caption=name, value=f"IoU {record.iou:.3f}"))
    return PictureRow(title=title, pictures=pictures)


def _in_words(prompt: str, num_clicks: int) -> str:
    clicks = f"{num_clicks} click{'s' * (num_clicks != 1)}"
    if prompt == "click":
        return f"after {clicks}"
    return f"with a {prompt}" + (f" and {clicks}" if num_clicks else "")
