"""The class of each pixel, without prompts; see `sam_ft.evaluation.pixels.semantic`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.evaluation.pixels.page import semantic_page, semantic_tables
from sam_ft.evaluation.pixels.semantic import measure_classes
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.showing.cases import spread_evenly
from sam_ft.metrics.bootstrap import ends_of
from sam_ft.pages.html import write_page
from sam_ft.pages.tables import write_tables
from sam_ft.types import Sample


@dataclass(frozen=True)
class SemanticProtocol:
    """The mean IoU over classes, of a model after task=semantic."""

    def __call__(self, request: Request) -> Outcome:
        """Classify every pixel of every image."""
        model, samples = request.model, request.samples
        if not model.pixel_class_names:
            raise ValueError("Expected a model of task=semantic for protocol=semantic, but got one that is prompted.")
        shown = [samples[index] for index in spread_evenly(request.pictures, len(samples))]
        predictions: dict[str, Tensor] = {}

        def keep(sample: Sample, predicted: Tensor) -> None:
            if any(sample.name == each.name for each in shown):
                predictions[sample.name] = predicted

        batches = whole_batches(
            samples, image_size=model.image_size, batch_size=request.batch_size, num_workers=request.num_workers
        )
        with request.progress() as bar:
            measurement = measure_classes(model, batches, on_batch=bar.update, on_prediction=keep)
        measurement.write(request.output)
        page = semantic_page(
            measurement, title=request.title, samples=shown, predictions=predictions, command=request.command
        )
        write_page(request.output / "index.html", page)
        tables = write_tables(request.output, "summary", semantic_tables(measurement))
        return Outcome(
            measurement.summary, written=("confusion.csv", *tables), intervals=ends_of(measurement.intervals)
        )
