"""How well a model segments whole volumes: Dice, surface Dice, Hausdorff distance and volume of each class.

A class is scored on the voxels of the volume's own grid. Its truth is what the data set counts as objects, so that
objects below its smallest area belong to neither side of their class, nor do voxels whose class nobody knows to any.

One rule for absent classes: absent in the truth and in the prediction, a class is not counted in that volume; absent in
one of them, its Dice and surface Dice are 0 and its Hausdorff distance is the diagonal of the volume. Of a slice it is
the same rule for Dice.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam_ft.files import atomic_write, write_json
from sam_ft.metrics.bootstrap import (
    LEAST_CLUSTERS,
    Interval,
    ends_of,
    interval_or_none,
    percentile_interval,
    resampled_sums,
)
from sam_ft.metrics.surface import hausdorff_distance, surface_dice, volume_dice, volume_ml

MEASURES = (
    "dice", "nsd", "hd95_mm", "slice_dice", "object_slices_dice", "difference_ml", "absolute_relative_difference"
)  # fmt: skip
"""What is averaged over volumes."""


@dataclass(frozen=True)
class VolumeScore:
    """How well one class of one volume was found; None where nothing can be said.

    Attributes:
        volume: its name.
        class_name: of the class.
        truth_ml: volume of the truth.
        predicted_ml: volume of the prediction.
        dice: over the voxels of the volume.
        nsd: surface Dice at the tolerance.
        hd95_mm: the 95th percentile of the Hausdorff distance.
        slice_dice: mean Dice over the slices that hold the class in the truth or in the prediction.
        num_slices: how many these are.
        object_slices_dice: over the voxels of the slices that hold an object of any class, as a prompted model is
            measured anyway; the same as `dice` for such a model.
    """

    volume: str
    class_name: str
    truth_ml: float
    predicted_ml: float
    dice: float | None
    nsd: float | None
    hd95_mm: float | None
    slice_dice: float | None
    num_slices: int
    object_slices_dice: float | None

    @property
    def difference_ml(self) -> float | None:
        """Predicted minus true volume; None where the class is absent in both."""
        return None if self.dice is None else self.predicted_ml - self.truth_ml

    @property
    def relative_difference(self) -> float | None:
        """The same as a share of the true volume; None where that is 0."""
        return (self.predicted_ml - self.truth_ml) / self.truth_ml if self.truth_ml else None

    @property
    def absolute_relative_difference(self) -> float | None:
        """Its size, so that too much and too little do not cancel each other in a mean."""
        return None if self.relative_difference is None else abs(self.relative_difference)


def score_class(
    predicted: Tensor,
    truth: Tensor,
    *,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float,
    volume: str,
    class_name: str,
    holds_object: Tensor | None = None,
) -> VolumeScore:
    """Compare one class of one volume with the truth.

    Args:
        predicted: (slices, rows, columns) bool.
        truth: bool, of the same shape.
        holds_object: (slices,) bool, those that hold an object of any class; None: those of `truth`.
        spacing_mm: of the three axes.
        tolerance_mm: of the surface Dice.
        volume: its name.
        class_name: of the class.
    """
    by_slice = [score for score in slice_dices(predicted, truth) if not math.isnan(score)]
    held = truth.flatten(start_dim=1).any(dim=1) if holds_object is None else holds_object  # (slices,)
    return VolumeScore(
        volume=volume,
        class_name=class_name,
        truth_ml=volume_ml(truth, spacing_mm=spacing_mm),
        predicted_ml=volume_ml(predicted, spacing_mm=spacing_mm),
        dice=_known(volume_dice(predicted, truth)),
        nsd=_known(surface_dice(predicted, truth, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm)),
        hd95_mm=_known(hausdorff_distance(predicted, truth, spacing_mm=spacing_mm)),
        slice_dice=sum(by_slice) / len(by_slice) if by_slice else None,
        num_slices=len(by_slice),
        object_slices_dice=_known(volume_dice(predicted[held], truth[held])),
    )


def slice_dices(predicted: Tensor, truth: Tensor) -> list[float]:
    """The Dice coefficient of each slice: NaN where the class is in neither, 0 where it is in one."""
    return [volume_dice(*pair) for pair in zip(predicted, truth, strict=True)]


def summarise_class(scores: Sequence[VolumeScore]) -> dict[str, Any]:
    """The means over the volumes of one class, and how many volumes count.

    Each of `MEASURES` is a mean over the volumes in which it is defined, or None; `intervals` has the bootstrap
    interval of each, over volumes, as far as it is defined in `LEAST_CLUSTERS` of them. `num_volumes` are those that
    count, `num_absent` those without the class on either side, `num_missed` and `num_invented` those with it on one.
    """
    counted = [score for score in scores if score.dice is not None]
    values = {name: _known_values(counted, name) for name in MEASURES}
    intervals = {name: _interval(found) for name, found in values.items()}
    return {
        **{name: sum(value for _, value in found) / len(found) if found else None for name, found in values.items()},
        "intervals": ends_of({name: interval for name, interval in intervals.items() if interval}),
        "num_volumes": len(counted),
        "num_absent": len(scores) - len(counted),
        "num_missed": sum(not each.predicted_ml for each in counted),
        "num_invented": sum(not each.truth_ml for each in counted),
    }


@dataclass(frozen=True)
class VolumeMeasurement:
    """What came out for each class of each volume.

    Attributes:
        scores: one for each class of each volume.
        tolerance_mm: of the surface Dice.
        prompt: what the model was given: `none`, `box` or such as `3 clicks`.
        num_slices: that were measured, of all volumes.
        num_slices_left_out: that hold no object which is large enough, so that a prompted model was not asked for them.
        volumes_left_out: the names of the volumes of which no slice was measured.
    """

    scores: Sequence[VolumeScore]
    tolerance_mm: float
    prompt: str
    num_slices: int
    num_slices_left_out: int = 0
    volumes_left_out: Sequence[str] = ()

    @cached_property
    def by_class(self) -> dict[str, dict[str, Any]]:
        """Of each class what `summarise_class` says."""
        names = dict.fromkeys(score.class_name for score in self.scores)
        return {name: summarise_class([each for each in self.scores if each.class_name == name]) for name in names}

    @cached_property
    def summary(self) -> dict[str, float]:
        """The means over the classes that count in a volume, and the numbers of volumes and slices.

        Raises:
            ValueError: no class is in any volume.
        """
        counted = [each for each in self.by_class.values() if each["num_volumes"]]
        if not counted:
            raise ValueError("Expected at least one volume with an object to measure, but got none.")
        found = {name: [each[name] for each in counted if each[name] is not None] for name in MEASURES}
        means = {name: sum(values) / len(values) for name, values in found.items() if values}
        return {
            **means,
            "num_volumes": len({score.volume for score in self.scores}),
            "num_slices": self.num_slices,
            "num_classes": len(counted),
        }

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals of the means over classes: volumes are drawn, each with all its classes.

        A measure has one if each class that counts has it in `LEAST_CLUSTERS` volumes: a class of one volume would seem
        to be known exactly. A resample that misses a class does not count, as if it were drawn again.
        """
        counted = [score for score in self.scores if score.dice is not None]
        values = _by_volume(counted, MEASURES)  # (V, measures, classes)
        known = torch.stack([values.nan_to_num(), ~values.isnan()], dim=-1)  # (V, measures, classes, 2)
        sums, counts = resampled_sums(known.flatten(1)).view(-1, *known.shape[1:]).unbind(dim=-1)
        found = {}
        for place, name in enumerate(MEASURES):
            defined = known[:, place, :, 1].sum(dim=0)  # (classes,) volumes
            own = defined > 0
            if name in self.summary and defined[own].min() >= LEAST_CLUSTERS:
                means = (sums / counts)[:, place, own].mean(dim=1)  # (R,)
                found[name] = percentile_interval(means, self.summary[name])
        return found

    @property
    def without_intervals(self) -> str:
        """Why there are no intervals for some classes and for means over classes; empty where there are."""
        counts = [each["num_volumes"] for each in self.by_class.values()]
        if min(counts) >= LEAST_CLUSTERS:
            return ""
        rare = f"No intervals for classes in fewer than {LEAST_CLUSTERS} volumes (the rarest is in {min(counts)})"
        no_means = any(0 < count < LEAST_CLUSTERS for count in counts)
        return f"{rare}{', nor for means over the classes' if no_means else ''}."

    def write(self, output: str | Path) -> None:
        """Write `summary.json`, and `volumes.csv` with one row per volume and class."""
        summary = {
            **self.summary,
            "intervals": ends_of(self.intervals),
            "prompt": self.prompt,
            "tolerance_mm": self.tolerance_mm,
            "without_intervals": self.without_intervals,
            "left_out": {"num_slices": self.num_slices_left_out, "volumes": list(self.volumes_left_out)},
            "classes": self.by_class,
        }
        write_json(Path(output) / "summary.json", summary)
        with atomic_write(Path(output) / "volumes.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
            rows = [
                asdict(each) | {"difference_ml": each.difference_ml, "relative_difference": each.relative_difference}
                for each in self.scores
            ]
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _by_volume(scores: Sequence[VolumeScore], names: Sequence[str]) -> Tensor:
    """Some measures as (volumes, measures, classes) float64; NaN where there is none."""
    volumes, classes = (
        {name: place for place, name in enumerate(dict.fromkeys(each))}
        for each in ((score.volume for score in scores), (score.class_name for score in scores))
    )
    values = torch.full((len(volumes), len(names), len(classes)), math.nan, dtype=torch.float64)
    for score in scores:
        own = [math.nan if (value := getattr(score, name)) is None else value for name in names]
        values[volumes[score.volume], :, classes[score.class_name]] = torch.tensor(own, dtype=torch.float64)
    return values


def _known_values(scores: Sequence[VolumeScore], name: str) -> list[tuple[str, float]]:
    """Volume and value, where there is one."""
    return [(each.volume, value) for each in scores if (value := getattr(each, name)) is not None]


def _interval(found: Sequence[tuple[str, float]]) -> Interval | None:
    return interval_or_none(
        torch.tensor([value for _, value in found], dtype=torch.float64), [volume for volume, _ in found]
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
