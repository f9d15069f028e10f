"""Objects that a model of pixels finds without prompts; see `sam_ft.evaluation.pixels.instances`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam_ft.data.boundaries import BoundarySamples
from sam_ft.evaluation.pixels.instances import InstanceMeasurement, MatchedImage, measure_instances
from sam_ft.evaluation.pixels.instances_page import instances_page, instances_table, objects_shown
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.showing.cases import spread_evenly
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.metrics.bootstrap import ends_of
from sam_ft.pages.html import write_page
from sam_ft.pages.page import PictureRow
from sam_ft.pages.tables import write_tables
from sam_ft.types import Sample


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
                rows[sample.name] = objects_shown(sample, labels)

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
        page = instances_page(measurement, title=request.title, pictures=pictures, command=request.command)
        write_page(request.output / "index.html", page)
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
