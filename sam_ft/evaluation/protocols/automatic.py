"""Masks of everything, matched to the truth; see `sam_ft.evaluation.everything.automatic`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sam_ft.checks import quoted
from sam_ft.data.collation import whole_batches
from sam_ft.data.json_files import read_json_object
from sam_ft.evaluation.everything.automatic import AutomaticMeasurement, measure_automatic
from sam_ft.evaluation.everything.automatic_image import ComparedImage, GeneratorSettings
from sam_ft.evaluation.everything.page import automatic_page, automatic_tables
from sam_ft.evaluation.protocols.request import Outcome, Request
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.metrics.bootstrap import ends_of
from sam_ft.pages.html import write_page
from sam_ft.pages.tables import write_tables
from sam_ft.types import Batch, Sample

_logger = logging.getLogger("sam_ft.evaluate")


@dataclass(frozen=True)
class AutomaticProtocol:
    """AR of the proposals; mSA, AP and PQ of the masks that the generator keeps.

    Attributes:
        points_per_side: Points along each side of an image.
        pred_iou_thresh: None: that of `thresholds_file`, or without one segment_anything's; so the other two.
        stability_score_thresh: Of the stability score.
        box_nms_thresh: The IoU of two boxes above which the worse mask goes.
        thresholds_file: The `thresholds.json` of a training or an evaluation.
    """

    points_per_side: int = 32
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    box_nms_thresh: float | None = None
    thresholds_file: str | None = None

    def __call__(self, request: Request) -> Outcome:
        """Let the model find what it can in every image."""
        model = request.prompted
        shown = [] if request.shard else request.spread_samples()
        with request.share(self.journals(request)) as (share, report):
            segments = self._found(request, request.batches(share.indices), shown, add=share.add, report=report)
        if request.shard:
            return Outcome({}, written=())
        missing = [sample for sample in shown if sample.name not in segments]
        again = self._found(request, whole_batches(missing, image_size=model.image_size), missing)
        finished = self.journals(request).expect_complete()
        measurement = AutomaticMeasurement(list(finished.values()), self.settings(), segments | again)
        if not measurement.filtered.selected:
            _logger.warning(
                "The thresholds leave none of %d masks; fit them to the model: thresholds=50 part=val writes "
                "thresholds.json for protocol.thresholds_file.",
                measurement.filtered.proposals,
            )
        measurement.write(request.output)
        page = automatic_page(measurement, title=request.title, samples=shown, command=request.command)
        write_page(request.output / "index.html", page)
        tables = write_tables(request.output, "summary", automatic_tables(measurement))
        return Outcome(
            measurement.summary,
            written=("objects.csv", *tables),
            intervals=ends_of(measurement.intervals),
            images=[each.image for each in measurement.images if each.objects],
            settings={"points_per_side": self.points_per_side},
        )

    def journals(self, request: Request) -> Journals[ComparedImage]:
        """What is finished, while not everything is; thresholds are told by their values."""
        settings = {"name": "automatic", **asdict(self.settings())}
        return request.journals(ComparedImage, settings=settings, name_of=lambda compared: compared.image)

    def _found(
        self,
        request: Request,
        batches: Iterable[Batch],
        shown: Sequence[Sample],
        *,
        add: Callable[[ComparedImage], object] | None = None,
        report: Callable[[int], object] | None = None,
    ) -> dict[str, np.ndarray]:
        """Measure some images, and give the segments of those that are to be shown."""
        names = [sample.name for sample in shown]
        measured = measure_automatic(
            request.prompted, batches, settings=self.settings(), shown=names, on_image=add, on_batch=report
        )
        return dict(measured.segments)

    def settings(self) -> GeneratorSettings:
        """Each threshold as it is given, else that of the file, else segment_anything's.

        Raises:
            ValueError: a threshold is no number of 0 or more, or the file is missing or holds something else.
        """
        of_file = {} if self.thresholds_file is None else read_thresholds(self.thresholds_file)
        given = {name: getattr(self, name) for name in _THRESHOLDS}
        chosen = {**of_file, **{name: value for name, value in given.items() if value is not None}}
        return GeneratorSettings(points_per_side=self.points_per_side, **chosen)


_THRESHOLDS = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")


def read_thresholds(path: str | Path) -> dict[str, float]:
    """The three thresholds in a `thresholds.json`.

    Raises:
        ValueError: the file is missing, no JSON, or lacks one of them.
    """
    content = read_json_object(Path(path))
    for name in _THRESHOLDS:
        value = content.get(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ValueError(f"Expected a number for {name} in {path}, but got {quoted(value)}.")
    return {name: float(content[name]) for name in _THRESHOLDS}
