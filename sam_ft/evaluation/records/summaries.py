"""The means of an interactive evaluation over masks, by prompt, class and data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sam_ft.evaluation.records.mask_record import MaskRecord, of_summary, prompt_key, prompt_order
from sam_ft.files import write_json

ORACLE = "_oracle"
"""How the names of figures end that take the best of three masks and not the most confident."""

BOUNDARY = "mbiou@"
"""How the names of figures begin that are the mean IoU of boundaries."""

CLICKS, FAILURES = "noc@", "nof@"
"""How the names of figures begin that are numbers of clicks until an IoU, and of masks that never got there."""

_COUNTS = ("num_", FAILURES)
"""How the names of figures begin that are no means."""


@dataclass(frozen=True)
class Figure:
    """What a mean is taken over: a value of each mask, and the image that it is of."""

    values: list[float] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def add(self, record: MaskRecord, value: float) -> None:
        """Add one mask."""
        self.values.append(value)
        self.images.append(record.image)

    @property
    def mean(self) -> float:
        """Over the masks."""
        return sum(self.values) / len(self.values)


def figures(records: Sequence[MaskRecord]) -> dict[str, Figure]:
    """What the means of `summarise` are over; rounds that are not `in_summary` have none.

    Returns:
        `miou@1`, `miou@box`, then `miou@1_oracle`, then `mbiou@1` (boundaries), then `class_accuracy@1`.
    """
    found: dict[str, dict[str, Figure]] = {"miou": {}, "oracle": {}, "boundary": {}, "class": {}}
    for record in sorted(of_summary(records), key=prompt_order):
        key = prompt_key(record)
        found["miou"].setdefault(f"miou@{key}", Figure()).add(record, record.iou)
        if record.oracle_iou is not None:
            found["oracle"].setdefault(f"miou@{key}{ORACLE}", Figure()).add(record, record.oracle_iou)
        if record.boundary_iou is not None:
            found["boundary"].setdefault(f"{BOUNDARY}{key}", Figure()).add(record, record.boundary_iou)
        if record.predicted_class is not None:
            is_told = record.predicted_class == record.class_name
            found["class"].setdefault(f"class_accuracy@{key}", Figure()).add(record, is_told)
    return found["miou"] | found["oracle"] | found["boundary"] | found["class"]


def summarise(records: Sequence[MaskRecord]) -> dict[str, float]:
    """The mean IoU over masks: `miou@1`, `miou@3`, ... by number of clicks, `miou@box`, and `num_masks`, `num_images`.

    Where the best of three masks was measured too, `miou@1_oracle` and `miou@box_oracle`; where boundaries were,
    `mbiou@1`, ... Of a model that knows classes `class_accuracy@1`, ...: the share of the masks whose class it told.

    Raises:
        ValueError: there are no records.
    """
    if not records:
        raise ValueError("Expected at least one mask to measure, but got none: the data set holds no objects.")
    summary = {key: figure.mean for key, figure in figures(records).items()}
    summary["num_masks"] = len({(record.image, record.object_index) for record in records})
    summary["num_images"] = len({record.image for record in records})
    return summary


def miou_keys(summary: Mapping[str, float]) -> list[str]:
    """The figures of a summary that are the mean IoU of the most confident masks."""
    return [key for key in summary if key.startswith("miou@") and not key.endswith(ORACLE)]


def mean_over(summaries: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean over classes or over data sets of each mean that all of them have, the small ones like the large.

    Args:
        summaries: from the name of a class or a set to its summary; one at least.
    """
    first, *others = summaries.values()
    shared = [key for key in first if not key.startswith(_COUNTS) and all(key in other for other in others)]
    return {key: sum(summary[key] for summary in summaries.values()) / len(summaries) for key in shared}


def write_summary(path: str | Path, summary: Mapping[str, object]) -> None:
    """Write a summary as JSON, at once.

    Raises:
        ValueError: a number is not finite, or `path` cannot be written to.
    """
    write_json(path, dict(summary))
