"""What an interactive evaluation measures of each mask, in sum and as files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from sam_ft.files import atomic_write, write_json


@dataclass(frozen=True)
class MaskRecord:
    """One predicted mask, what was asked and how good the answer is. Coordinates are pixels of the source."""

    image: str
    object_index: int  # the object's place in `Sample.masks`
    class_name: str
    area_px: int
    prompt: Literal["box", "click"]
    num_clicks: int  # the round; 0 with a box
    iou: float
    predicted_iou: float  # what the model thinks
    predicted_class: str | None = None  # and what it takes the object for, if it knows classes
    points: tuple[tuple[float, float], ...] = ()  # (x, y); fewer than `num_clicks` once no error was left
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None  # (x0, y0, x1, y1), the last pixel's indices included
    set_name: str | None = None  # of a mixture of data sets, the one that the image is from


def summarise(records: Sequence[MaskRecord]) -> dict[str, float]:
    """The mean IoU over masks: `miou@1`, `miou@3`, ... by number of clicks, `miou@box`, and `num_masks`, `num_images`.

    Of a model that knows classes also `class_accuracy@1`, ...: the share of the masks whose class it has told.

    Raises:
        ValueError: there are no records.
    """
    if not records:
        raise ValueError("Expected at least one mask to measure, but got none: the data set holds no objects.")
    ious: dict[str, list[float]] = {}
    told: dict[str, list[float]] = {}
    for record in sorted(records, key=lambda record: (record.prompt == "box", record.num_clicks)):
        prompt = "box" if record.prompt == "box" else str(record.num_clicks)
        ious.setdefault(f"miou@{prompt}", []).append(record.iou)
        if record.predicted_class is not None:
            told.setdefault(f"class_accuracy@{prompt}", []).append(record.predicted_class == record.class_name)
    summary: dict[str, float] = {key: sum(values) / len(values) for key, values in (ious | told).items()}
    summary["num_masks"] = len({(record.image, record.object_index) for record in records})
    summary["num_images"] = len({record.image for record in records})
    return summary


def summarise_by_class(records: Sequence[MaskRecord]) -> dict[str, dict[str, float]]:
    """`summarise` for each class, in the order of the names; empty if there are no records."""
    names = sorted({record.class_name for record in records})
    return {name: summarise([record for record in records if record.class_name == name]) for name in names}


def summarise_by_set(records: Sequence[MaskRecord]) -> dict[str, dict[str, float]]:
    """`summarise` for each set of a mixture, in the order of the records; empty where they are of none."""
    names = dict.fromkeys(record.set_name for record in records if record.set_name is not None)
    return {name: summarise([record for record in records if record.set_name == name]) for name in names}


def write_summary(path: str | Path, summary: Mapping[str, object]) -> None:
    """Write a summary as JSON, at once.

    Raises:
        ValueError: a number is not finite, or `path` cannot be written to.
    """
    write_json(path, dict(summary))


def write_records(path: str | Path, records: Sequence[MaskRecord]) -> None:
    """Write one row per record as CSV, at once; points are written as `x y label; x y label`.

    Raises:
        ValueError: `path` cannot be written to.
    """
    left_out = {"labels"} if any(record.set_name for record in records) else {"labels", "set_name"}
    columns = [field.name for field in fields(MaskRecord) if field.name not in left_out]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for record in records:
            clicks = zip(record.points, record.labels, strict=True)
            row = {column: getattr(record, column) for column in columns}
            row["points"] = "; ".join(f"{x:g} {y:g} {label}" for (x, y), label in clicks)
            row["box"] = "" if record.box is None else " ".join(f"{edge:g}" for edge in record.box)
            writer.writerow(row)
