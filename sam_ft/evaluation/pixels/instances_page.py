"""The page of one evaluation of objects found without prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam_ft.evaluation.pixels.instances import InstanceMeasurement
from sam_ft.evaluation.showing.figures import IN_BRACKETS, interval_words, with_interval
from sam_ft.pages.page import Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section, Table
from sam_ft.pages.versions import versions
from sam_ft.pictures import outlined
from sam_ft.types import Sample

PROTOCOL = (
    "The model tells interior, boundary and background of each pixel, without prompts. A connected piece of interior "
    "is an object, grown back by the boundary around it. IoU: of each true object with the found one that covers it "
    "best, a mean over objects. mSA: matched one to one, TP / (TP + FP + FN) at IoU 0.50, 0.55, ..., 0.95, a mean over "
    "images. Pixels that nobody knows are part of no found object."
)
_NAMES = {"best_iou": "IoU of the best object", "msa": "mSA"}


def instances_page(
    measurement: InstanceMeasurement, *, title: str, pictures: Sequence[PictureRow], command: str
) -> Page:
    """Headline numbers, a table and pictures of one model.

    Args:
        measurement: what came out.
        title: the page's heading.
        pictures: what `objects_shown` gives for each image to show.
        command: what made the page.
    """
    summary, intervals = measurement.summary, measurement.intervals
    cards = [
        Card(label=name, value=f"{summary[key]:.3f}", detail=interval_words(intervals.get(key)))
        for key, name in _NAMES.items()
    ]
    return Page(
        title=title,
        subtitle=f"{summary['num_images']:,.0f} images, {summary['num_objects']:,.0f} objects",
        cards=cards,
        sections=[
            Section("Results", [instances_table(measurement)], lead=PROTOCOL),
            Section("Pictures", [Gallery(pictures, has_key=False)], lead="Images spread evenly, not chosen by result."),
            Section("How it was made", [Code(command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


def instances_table(measurement: InstanceMeasurement) -> Table:
    """One row for each measure, and over what it is a mean."""
    summary, intervals = measurement.summary, measurement.intervals
    counts = {
        "best_iou": f"{summary['num_objects']:,.0f} objects, {summary['num_found']:,.0f} found",
        "msa": f"{summary['num_images']:,.0f} images",
    }
    rows = [[_NAMES[key], with_interval(key, summary, intervals), over] for key, over in counts.items()]
    return Table(columns=["measure", "value", "over"], rows=rows, caption=IN_BRACKETS if intervals else "")


def objects_shown(sample: Sample, labels: np.ndarray) -> PictureRow:
    """An image with its true objects, and with the found ones, labels `(H, W)` of 0 to K."""
    image, true = sample.image.numpy(), np.zeros(labels.shape, dtype=np.int32)
    for number, mask in enumerate(sample.masks.numpy(), start=1):
        true[mask] = number
    pictures = [
        Picture(outlined(image, drawn), alt=f"{caption} of {sample.name}", caption=caption)
        for caption, drawn in (("true objects", true), ("found objects", labels))
    ]
    return PictureRow(title=sample.name, pictures=pictures)
