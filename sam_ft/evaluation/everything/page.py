"""The page of one evaluation of everything that a model finds by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sam_ft.charts.curves import recall_figure
from sam_ft.class_pictures import draw_classes
from sam_ft.evaluation.everything.automatic import RECALLS_AT, AutomaticMeasurement
from sam_ft.evaluation.everything.truth_maps import truth_maps
from sam_ft.evaluation.showing.figures import IN_BRACKETS, interval_words, with_interval
from sam_ft.inference.proposals import Filtered
from sam_ft.metrics.detection import greedy_pairs, overlapping_pairs
from sam_ft.pages.page import Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section, Table
from sam_ft.pages.versions import versions
from sam_ft.pictures import blank_figure, to_png
from sam_ft.types import Sample

PROTOCOL = (
    "The model is asked at a grid of points and is not told where the objects are. AR@k is the share of the objects "
    "that the k best proposals find, before the thresholds, as the mean over IoU 0.50 to 0.95. mSA, AP and PQ are "
    "about the masks that the generator keeps. All is measured at the source's resolution and without classes. "
    "Annotations are taken to be complete: a mask of something that nobody marked counts as wrong. Pixels that nobody "
    "knows are part of no mask for mSA and PQ, and a crowd of COCO for AR and AP."
)


def automatic_page(measurement: AutomaticMeasurement, *, title: str, samples: Sequence[Sample], command: str) -> Page:
    """Headline numbers, tables, a curve, what was filtered, and pictures of one model.

    Args:
        measurement: what was counted.
        title: the page's heading.
        samples: the images to show.
        command: what made the page.
    """
    summary, settings = measurement.summary, asdict(measurement.settings)
    results, recalls = automatic_tables(measurement)
    rows = [picture_row(sample, measurement.segments[sample.name]) for sample in samples]
    return Page(
        title=title,
        subtitle=f"{summary['num_images']:,.0f} images, {summary['num_objects']:,.0f} objects",
        cards=_cards(measurement),
        sections=[
            Section("Results", [results], lead=PROTOCOL),
            Section(
                "Recall",
                [recalls, _curves(measurement)],
                lead="Proposals are what box suppression leaves without thresholds, ranked by the mean of predicted "
                "IoU and stability score; at most 1000 for each image. Sizes are COCO's, in pixels of the source.",
            ),
            Section(
                "Filters",
                [filter_table(measurement.filtered)],
                lead="What the mask generator removes, one filter after the other, over all images.",
            ),
            *([Section("Pictures", [Gallery(rows, has_key=False)], lead=_PICTURES)] if rows else []),
            Section(
                "How it was made",
                [Code(command), Facts([*((name, f"{value:g}") for name, value in settings.items()), *versions()])],
            ),
        ],
        footer="Made by sam-ft.",
    )


_PICTURES = (
    "Images spread evenly over the data set, not chosen by result. An object and the kept mask that finds it (IoU "
    "above 0.5) have one colour; dark masks find nothing that is marked."
)


def filter_table(filtered: Filtered) -> Table:
    """One row for each filter: how many masks it removed and how many were left."""
    left, rows = filtered.proposals, []
    for name, removed in (
        ("empty", filtered.empty),
        ("predicted IoU too low", filtered.pred_iou),
        ("not stable", filtered.stability_score),
        ("box overlaps that of a better mask", filtered.overlap),
    ):
        left -= removed
        rows.append([name, f"{removed:,}", f"{left:,}"])
    return Table(
        columns=["filter", "removed", "left"], rows=rows, caption=f"Of {filtered.proposals:,} masks, three at a point."
    )


def picture_row(sample: Sample, segments: np.ndarray) -> PictureRow:
    """An image, its objects, and the segments (H, W) that were kept, coloured by the object that they find."""
    truth, kept = coloured(sample, segments)
    pictures = [
        Picture(to_png(_drawn(sample.image, classes)), alt=f"{caption} of {sample.name}", caption=caption)
        for caption, classes in (("image", None), ("objects", truth), ("kept masks", kept))
    ]
    return PictureRow(title=sample.name, pictures=pictures)


def coloured(sample: Sample, segments: np.ndarray) -> tuple[Tensor, Tensor]:
    """Two maps (H, W) int64 of numbers to be drawn as colours.

    The first has 1 to N in the objects, smaller ones above larger ones, the second the number of the object in every
    segment that finds one, and -1 in the others.
    """
    maps, num_segments = truth_maps(sample), int(segments.max(initial=0))
    truth = torch.zeros(segments.shape, dtype=torch.int64)
    for index in np.argsort(-maps.areas, kind="stable").tolist():
        truth[sample.masks[index]] = index + 1
    ious = maps.ious_of_segments(segments, num_segments=num_segments)
    numbers = np.full(num_segments + 1, -1)
    numbers[0] = 0
    for iou, segment, index in greedy_pairs(overlapping_pairs(torch.from_numpy(ious))):
        if iou > 0.5:
            numbers[segment + 1] = index + 1
    return truth, torch.from_numpy(numbers[segments])


def _drawn(image: Tensor, classes: Tensor | None) -> Figure:
    """One picture without a margin."""
    height, width = image.shape[:2]
    scale = 2.5 / max(height, width)
    figure = blank_figure(width * scale, height * scale, facecolor="black")
    draw_classes(figure.add_axes((0.0, 0.0, 1.0, 1.0)), image, classes)
    return figure


def _cards(measurement: AutomaticMeasurement) -> list[Card]:
    summary, intervals = measurement.summary, measurement.intervals
    names = {"ar@1000": "AR@1000", "msa": "mSA", "ap": "AP", "pq": "PQ"}
    return [
        Card(label=name, value=f"{summary[key]:.3f}", detail=interval_words(intervals.get(key)))
        for key, name in names.items()
    ]


def automatic_tables(measurement: AutomaticMeasurement) -> list[Table]:
    """The measures, and recall by size."""
    return [_results(measurement), _recalls(measurement)]


def _results(measurement: AutomaticMeasurement) -> Table:
    """One row for each measure, and over what it is a mean."""
    summary, intervals = measurement.summary, measurement.intervals
    images, objects = f"{summary['num_images']:,.0f} images", f"{summary['num_objects']:,.0f} objects"
    masks, proposals = f"{summary['num_masks']:,.0f} kept masks", f"{summary['num_proposals']:,.0f} proposals"
    over = {
        **{f"ar@{count}": (f"AR@{count}", f"{objects}, {proposals}") for count in RECALLS_AT},
        "msa": ("mSA", images),
        **{key: (key.upper(), f"{objects}, {masks}") for key in ("ap", "ap50", "ap75", "pq", "sq", "rq")},
    }
    rows = [[name, with_interval(key, summary, intervals), what] for key, (name, what) in over.items()]
    brackets = f" {IN_BRACKETS}" if intervals else ""
    return Table(columns=["measure", "value", "over"], rows=rows, caption=f"PQ = SQ × RQ.{brackets}")


def _recalls(measurement: AutomaticMeasurement) -> Table:
    """One row for each size, one column for each number of proposals."""
    rows = []
    for size, found in measurement.by_size.items():
        known = {key: value for key, value in found.items() if value is not None}
        intervals = measurement.size_intervals[size]
        recalls = (with_interval(f"ar@{count}", known, intervals) for count in RECALLS_AT)
        rows.append([size, f"{found['num_objects']:,.0f}", *recalls])
    return Table(columns=["size", "objects", *(f"AR@{count}" for count in RECALLS_AT)], rows=rows)


def _curves(measurement: AutomaticMeasurement) -> Picture:
    """Recall against the number of proposals, for a light and a dark page."""
    curves = measurement.recall_curves
    return Picture(
        to_png(recall_figure(curves)),
        alt="Average recall against the number of proposals",
        png_dark=to_png(recall_figure(curves, dark=True)),
    )
