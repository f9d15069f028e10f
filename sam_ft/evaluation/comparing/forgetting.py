"""What a fine-tuning gained and what it lost: the same evaluation before and after, on two data sets."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from sam_ft.data.splits import SampleDataset
from sam_ft.evaluation.comparing.changes import Change, change, changes_by_prompt, changes_by_size
from sam_ft.evaluation.measuring import Measurement, measure
from sam_ft.evaluation.records.file import write_records
from sam_ft.evaluation.showing.cases import ShownCase, spread_evenly
from sam_ft.files import atomic_write, write_json
from sam_ft.inference.candidates import Candidates, Thresholds, candidates, find
from sam_ft.inference.thresholds import ThresholdFit, fit_thresholds
from sam_ft.types import PromptableModel

EVERYTHING_DEFAULT = "everything, SAM's thresholds"
EVERYTHING_FITTED = "everything, fitted thresholds"


@dataclass(frozen=True)
class Answers:
    """What one model answered on one data set."""

    measurement: Measurement
    everything: Sequence[Candidates] = ()  # of some of the images; empty: not asked

    @cached_property
    def thresholds(self) -> ThresholdFit | None:
        """The mask generator's thresholds that suit this model on this data set; None if it was not asked."""
        return fit_thresholds(self.everything) if any(image.num_objects for image in self.everything) else None


@dataclass(frozen=True)
class Comparison:
    """One data set, before and after."""

    name: str  # in file names
    title: str  # in words
    before: Answers
    after: Answers

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """For each prompt over all objects, then everything-mode, of which the count is images."""
        asked = changes_by_prompt(self.before.measurement.records, self.after.measurement.records)
        return (*asked, *self._everything())

    @cached_property
    def by_size(self) -> tuple[Change, ...]:
        """For each size and prompt; empty if all objects are of one size."""
        return tuple(changes_by_size(self.before.measurement.records, self.after.measurement.records))

    def everything_scores(self) -> dict[str, tuple[list[float], list[float]]]:
        """The detection score of each image before and after, with SAM's thresholds and with each model's own."""
        if self.before.thresholds is None or self.after.thresholds is None:
            return {}
        own = (self.before.thresholds.best.thresholds, self.after.thresholds.best.thresholds)
        chosen = {EVERYTHING_DEFAULT: (Thresholds(), Thresholds()), EVERYTHING_FITTED: own}
        return {
            name: (_scores(self.before.everything, first), _scores(self.after.everything, second))
            for name, (first, second) in chosen.items()
        }

    def _everything(self) -> list[Change]:
        images = [image.image for image in self.before.everything]
        return [change(*scores, images, prompt=name) for name, scores in self.everything_scores().items()]


def answers(
    model: PromptableModel,
    samples: SampleDataset,
    *,
    clicks: Sequence[int] = (1, 3, 5),
    shown: Sequence[ShownCase] = (),
    num_everything: int = 32,
    points_per_side: int = 16,
    batch_size: int = 4,
    on_images: Callable[[int], None] | None = None,
) -> Answers:
    """Ask a model for every object with clicks and a box, and for everything in some of the images.

    Args:
        model: any promptable model.
        samples: the data set.
        clicks: after which numbers of clicks to measure.
        shown: the objects whose masks are kept for pictures.
        num_everything: at most so many images for everything-mode, spread evenly; 0: none.
        points_per_side: of the grid of points of everything-mode.
        batch_size: images encoded at once.
        on_images: receives the number of images done, for showing progress; those of everything-mode count again.
    """
    measurement = measure(model, samples, clicks=clicks, shown=shown, batch_size=batch_size, on_batch=on_images)
    everything = []
    if num_everything:
        chosen = (samples[index] for index in spread_evenly(num_everything, len(samples)))
        for found in candidates(model, chosen, points_per_side=points_per_side):
            everything.append(found)
            if on_images is not None:
                on_images(1)
    return Answers(measurement=measurement, everything=tuple(everything))


def write_comparisons(output: str | Path, comparisons: Sequence[Comparison], *, about: Mapping[str, object]) -> None:
    """Write `forgetting.json`, and for each data set the records of each mask and the everything-mode of each image.

    Args:
        output: the folder.
        comparisons: of the data sets.
        about: what else `forgetting.json` says, such as which models these are.

    Raises:
        ValueError: a file cannot be written.
    """
    output = Path(output)
    sets = {comparison.name: _summary(comparison) for comparison in comparisons}
    write_json(output / "forgetting.json", {**about, "sets": sets})
    for comparison in comparisons:
        for side, given in (("before", comparison.before), ("after", comparison.after)):
            write_records(output / f"records_{comparison.name}_{side}.csv", given.measurement.records)
        if comparison.before.everything:
            _write_everything(output / f"everything_{comparison.name}.csv", comparison)


def _scores(images: Sequence[Candidates], thresholds: Thresholds) -> list[float]:
    return [find(image, thresholds).score for image in images]


def _summary(comparison: Comparison) -> dict[str, object]:
    sides = {"before": comparison.before, "after": comparison.after}
    return {
        "title": comparison.title,
        "changes": [{**asdict(row), "verdict": row.verdict} for row in comparison.changes],
        "by_size": [{**asdict(row), "verdict": row.verdict} for row in comparison.by_size],
        "predicted_iou": {
            side: {"error": found.error, "bias": found.bias}
            for side, given in sides.items()
            for found in [given.measurement.calibration]
        },
        "thresholds": {
            side: {**asdict(given.thresholds.best), "defaults": asdict(given.thresholds.defaults)}
            for side, given in sides.items()
            if given.thresholds is not None
        },
    }


def _write_everything(path: Path, comparison: Comparison) -> None:
    scores = comparison.everything_scores()
    names = [f"{name}, {side}" for name in scores for side in ("before", "after")]
    columns = [column for pair in scores.values() for column in pair]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "num_objects", *names])
        for place, image in enumerate(comparison.before.everything):
            writer.writerow([image.image, image.num_objects, *(column[place] for column in columns)])
