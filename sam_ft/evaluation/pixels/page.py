"""The page of one evaluation of semantic segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from sam_ft.class_pictures import ClassCase, class_figure
from sam_ft.data.class_maps import class_map
from sam_ft.evaluation.pixels.semantic import SemanticMeasurement
from sam_ft.evaluation.showing.figures import IN_BRACKETS, interval_words, with_interval
from sam_ft.metrics.bootstrap import LEAST_CLUSTERS
from sam_ft.pages.page import Card, Code, Facts, Page, Picture, Section, Table
from sam_ft.pages.versions import versions
from sam_ft.pictures import to_png
from sam_ft.types import Sample

PROTOCOL = (
    "Each pixel is of one class, without any prompt. The IoU of a class is over all pixels of the data set whose class "
    "is known, at the source's resolution; mIoU is the mean over the classes that occur in the truth."
)


def semantic_page(
    measurement: SemanticMeasurement,
    *,
    title: str,
    samples: Sequence[Sample],
    predictions: Mapping[str, Tensor],
    command: str,
) -> Page:
    """Headline numbers, a table of the classes and pictures of one model.

    Args:
        measurement: what was counted.
        title: the page's heading.
        samples: the images to show.
        predictions: their names -> predicted classes (H, W).
        command: what made the page.
    """
    summary, names = measurement.summary, measurement.class_names
    cases = [
        ClassCase(sample.name, sample.image, class_map(sample, names), predictions[sample.name]) for sample in samples
    ]
    figures = [class_figure(cases, names)] if cases else []
    pictures = [Picture(to_png(figure), alt="True and predicted classes", wide=True) for figure in figures]
    return Page(
        title=title,
        subtitle=f"{summary['num_images']:,.0f} images, {summary['num_pixels']:,.0f} pixels of a known class",
        cards=[
            Card(label=name, value=f"{summary[key]:.3f}", detail=interval_words(measurement.intervals.get(key)))
            for key, name in (("miou", "mIoU"), ("pixel_accuracy", "pixel accuracy"))
        ],
        sections=[
            Section("Results", semantic_tables(measurement), lead=PROTOCOL),
            Section("Pictures", pictures, lead="Images spread evenly over the data set, not chosen by result."),
            Section("How it was made", [Code(command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


def semantic_tables(measurement: SemanticMeasurement) -> list[Table]:
    """One of the classes, and of a mixture one of its sets."""
    return [semantic_table(measurement), *set_tables(measurement)]


def semantic_table(measurement: SemanticMeasurement) -> Table:
    """One row per class: its IoU, its share of the pixels, and what it is most often taken for; then the mean."""
    rows, intervals = [], measurement.class_intervals
    for index, (name, each) in enumerate(measurement.by_class.items()):
        own = {} if each["iou"] is None else {"iou": each["iou"]}
        iou = with_interval("iou", own, {"iou": intervals[name]} if name in intervals else {})
        rows.append([name, iou, f"{100 * (each['pixel_share'] or 0):.1f} %", _mistaken(measurement, index)])
    rows.append(["mean", with_interval("miou", measurement.summary, measurement.intervals), "", ""])
    brackets = f" {IN_BRACKETS}" if measurement.intervals else ""
    if brackets and "miou" not in measurement.intervals:
        brackets += f" mIoU has no interval, since a class is in fewer than {LEAST_CLUSTERS} images."
    return Table(
        columns=["class", "IoU", "pixels", "most often taken for"],
        rows=rows,
        caption=f"A class without IoU does not occur in the truth.{brackets}",
    )


def set_tables(measurement: SemanticMeasurement) -> list[Table]:
    """Of a mixture one table with a row per set, else none."""
    rows = [
        [
            name,
            *(with_interval(key, each, measurement.set_intervals[name]) for key in ("miou", "pixel_accuracy")),
        ]
        for name, each in measurement.by_set.items()
    ]
    return [Table(columns=["set", "mIoU", "pixel accuracy"], rows=rows)] if rows else []


def _mistaken(measurement: SemanticMeasurement, index: int) -> str:
    """The other class that most pixels of a class were taken for, and how many of them; empty where there is none."""
    counts = measurement.confusion[index].clone()
    total = int(counts.sum())
    counts[index] = 0
    if not counts.any():
        return ""
    other = int(counts.argmax())
    return f"{measurement.class_names[other]} ({100 * int(counts[other]) / total:.0f} %)"
