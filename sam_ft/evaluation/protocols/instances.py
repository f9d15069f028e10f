"""Objects that a model of pixels finds without prompts; see `sam_ft.evaluation.pixels.instances`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam_ft.data.boundaries import BoundarySamples
from sam_ft.evaluation.pixels.instances import InstanceMeasurement, MatchedImage, measure_instances
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.showing.cases import spread_evenly
from sam_ft.evaluation.showing.figures import IN_BRACKETS, interval_words, with_interval
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.metrics.bootstrap import ends_of
from sam_ft.pages.html import write_page
from sam_ft.pages.page import Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section, Table
from sam_ft.pages.tables import write_tables
from sam_ft.pages.versions import versions
from sam_ft.pictures import outlined
from sam_ft.types import Sample

PROTOCOL = (
    "The model tells interior, boundary and background of each pixel, without prompts. A connected piece of interior "
    "is an object, grown back by the boundary around it. IoU: of each true object with the found one that covers it "
    "best, a mean over objects. mSA: matched one to one, TP / (TP + FP + FN) at IoU 0.50, 0.55, ..., 0.95, a mean over "
    "images."
)


@dataclass(frozen=True)
class InstancesProtocol:
    """IoU of the best object and mSA, of a model after data=boundaries."""

    def __call__(self, request: Request) -> Outcome:
        """Find and match the objects of every image."""
        samples = _boundaries(request)
        shown = [] if request.shard else spread_evenly(request.pictures, len(samples))
        names = {samples.objects[index].name for index in shown}
        rows: dict[str, PictureRow] = {}

        def keep(sample: Sample, labels: np.ndarray) -> None:
            if sample.name in names:
                rows[sample.name] = _row(sample, labels)

        with request.share(self.journals(request)) as (share, report):
            measure_instances(
                request.model,
                samples.only(share.indices),
                batch_size=request.batch_size,
                num_workers=request.num_workers,
                on_images=report,
                on_match=share.add,
                on_labels=keep,
            )
        if request.shard:
            return Outcome({}, written=())
        missing = [index for index in shown if samples.objects[index].name not in rows]
        measure_instances(request.model, samples.only(missing), on_labels=keep)
        measurement = InstanceMeasurement.of(self.journals(request).expect_complete().values())
        measurement.write(request.output)
        pictures = [rows[samples.objects[index].name] for index in shown]
        write_page(request.output / "index.html", _page(measurement, request, pictures))
        tables = write_tables(request.output, "summary", [instances_table(measurement)])
        return Outcome(
            measurement.summary,
            written=("objects.csv", *tables),
            intervals=ends_of(measurement.intervals),
            images=[each.image for each in measurement.images if each.num_objects],
        )

    def journals(self, request: Request) -> Journals[MatchedImage]:
        """What is finished, while not everything is."""
        return request.journals(MatchedImage, settings={"name": "instances"}, name_of=lambda match: match.image.image)


def _boundaries(request: Request) -> BoundarySamples:
    """What is measured.

    Raises:
        ValueError: The samples are others.
    """
    if not isinstance(request.samples, BoundarySamples):
        raise ValueError(
            "Expected a data set of data=boundaries for protocol=instances, such as that of the model's training, "
            "but got another one."
        )
    return request.samples


def instances_table(measurement: InstanceMeasurement) -> Table:
    """One row for each measure, and over what it is a mean."""
    summary, intervals = measurement.summary, measurement.intervals
    counts = {
        "best_iou": f"{summary['num_objects']:,.0f} objects, {summary['num_found']:,.0f} found",
        "msa": f"{summary['num_images']:,.0f} images",
    }
    rows = [[_NAMES[key], with_interval(key, summary, intervals), over] for key, over in counts.items()]
    return Table(columns=["measure", "value", "over"], rows=rows, caption=IN_BRACKETS if intervals else "")


_NAMES = {"best_iou": "IoU of the best object", "msa": "mSA"}


def _page(measurement: InstanceMeasurement, request: Request, rows: list[PictureRow]) -> Page:
    summary, intervals = measurement.summary, measurement.intervals
    cards = [
        Card(label=title, value=f"{summary[key]:.3f}", detail=interval_words(intervals.get(key)))
        for key, title in _NAMES.items()
    ]
    return Page(
        title=request.title,
        subtitle=f"{summary['num_images']:,.0f} images, {summary['num_objects']:,.0f} objects",
        cards=cards,
        sections=[
            Section("Results", [instances_table(measurement)], lead=PROTOCOL),
            Section("Pictures", [Gallery(rows, has_key=False)], lead="Images spread evenly, not chosen by result."),
            Section("How it was made", [Code(request.command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


def _row(sample: Sample, labels: np.ndarray) -> PictureRow:
    image, true = sample.image.numpy(), np.zeros(labels.shape, dtype=np.int32)
    for number, mask in enumerate(sample.masks.numpy(), start=1):
        true[mask] = number
    pictures = [
        Picture(outlined(image, drawn), alt=f"{caption} of {sample.name}", caption=caption)
        for caption, drawn in (("true objects", true), ("found objects", labels))
    ]
    return PictureRow(title=sample.name, pictures=pictures)
