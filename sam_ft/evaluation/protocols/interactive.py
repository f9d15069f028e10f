"""Simulated clicks and boxes; see `sam_ft.evaluation.interactive`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sam_ft.evaluation.measuring import cases_to_show, measure
from sam_ft.evaluation.page import evaluation_page
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.report import write_page

_logger = logging.getLogger("sam_ft.evaluate")


@dataclass(frozen=True)
class InteractiveProtocol:
    """mIoU against clicks and with a box.

    Attributes:
        clicks: After which numbers of clicks to measure.
    """

    clicks: Sequence[int] = (1, 3, 5)

    def __call__(self, request: Request) -> Outcome:
        """Ask for every object of every image."""
        model, samples = request.prompted, request.samples
        shown = cases_to_show(samples, request.pictures)
        with request.progress() as bar:
            measurement = measure(
                model,
                samples,
                clicks=self.clicks,
                shown=shown,
                batch_size=request.batch_size,
                num_workers=request.num_workers,
                on_batch=bar.update,
            )
        if foreign := sorted(set(measurement.by_class) - set(model.class_names)) if model.class_names else []:
            _logger.warning("The model does not know the classes %s, which count as not told.", ", ".join(foreign))
        measurement.write(request.output)
        page = evaluation_page(
            measurement,
            title=request.title,
            subtitle=f"{len(samples)} images, {int(measurement.summary['num_masks'])} masks",
            shown=shown,
            command=request.command,
        )
        write_page(request.output / "index.html", page)
        return Outcome(measurement.summary, written=("records.csv",))
