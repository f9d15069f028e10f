"""The class of each pixel, without prompts; see `sam_ft.evaluation.pixels.semantic`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.evaluation.pixels.page import semantic_page, semantic_tables
from sam_ft.evaluation.pixels.semantic import ImageCounts, SemanticMeasurement, measure_classes
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.metrics.bootstrap import ends_of
from sam_ft.pages.html import write_page
from sam_ft.pages.tables import write_tables
from sam_ft.types import Sample


@dataclass(frozen=True)
class SemanticProtocol:
    """The mean IoU over classes, of a model after task=semantic."""

    def __call__(self, request: Request) -> Outcome:
        """Classify every pixel of every image."""
        model = request.model
        if not model.pixel_class_names:
            raise ValueError("Expected a model of task=semantic for protocol=semantic, but got one that is prompted.")
        shown = [] if request.shard else request.spread_samples()
        names = {sample.name for sample in shown}
        predictions: dict[str, Tensor] = {}

        def keep(sample: Sample, predicted: Tensor) -> None:
            if sample.name in names:
                predictions[sample.name] = predicted

        with request.share(self.journals(request)) as (share, report):
            batches = request.batches(share.indices)
            measure_classes(model, batches, on_batch=report, on_counts=share.add, on_prediction=keep)
        if request.shard:
            return Outcome({}, written=())
        missing = [sample for sample in shown if sample.name not in predictions]
        measure_classes(model, whole_batches(missing, image_size=model.image_size), on_prediction=keep)
        finished = self.journals(request).expect_complete()
        measurement = SemanticMeasurement.of(model.pixel_class_names, finished.values())
        measurement.write(request.output)
        page = semantic_page(
            measurement, title=request.title, samples=shown, predictions=predictions, command=request.command
        )
        write_page(request.output / "index.html", page)
        tables = write_tables(request.output, "summary", semantic_tables(measurement))
        return Outcome(
            measurement.summary,
            written=("confusion.csv", *tables),
            intervals=ends_of(measurement.intervals),
            images=[each.image for each in finished.values()],
        )

    def journals(self, request: Request) -> Journals[ImageCounts]:
        """What is finished, while not everything is."""
        return request.journals(ImageCounts, settings={"name": "semantic"}, name_of=lambda counts: counts.image)
