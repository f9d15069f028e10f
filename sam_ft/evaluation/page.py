"""The page of one evaluation."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version

import torch

from sam_ft.charts import calibration_figure, curves_figure
from sam_ft.evaluation.measuring import Measurement, ShownCase, picture_row
from sam_ft.evaluation.report import (
    Card,
    Code,
    Facts,
    Gallery,
    Page,
    Picture,
    Section,
    class_accuracy_table,
    class_table,
    miou_table,
)
from sam_ft.metrics.calibration import Calibration
from sam_ft.pictures import to_png

PROTOCOL = (
    "Each object is asked for on its own. The first click lies at the object's centre, every later one at the centre "
    "of the largest error; of the three masks after the first prompt the most confident counts. IoU is measured at "
    "the source's resolution; mIoU is the mean over masks (Segment Anything, appendix D.1)."
)


def evaluation_page(
    measurement: Measurement, *, title: str, subtitle: str, shown: Sequence[ShownCase], command: str
) -> Page:
    """Headline numbers, a table, curves and pictures of one model."""
    summary = measurement.summary
    clicks = {record.num_clicks for record in measurement.records if record.prompt == "click"}
    prompts = [*(("click", count) for count in sorted({min(clicks), max(clicks)} if clicks else clicks)), ("box", 0)]
    rows = [
        picture_row(case, {"prediction": measurement}, prompt=prompt, num_clicks=num_clicks)
        for case in shown
        for prompt, num_clicks in prompts
        if (case.sample.name, case.object_index, prompt, num_clicks) in measurement.answers
    ]
    calibrated = measurement.calibration
    knows_classes = any(key.startswith("class_accuracy@") for key in summary)
    return Page(
        title=title,
        subtitle=subtitle,
        cards=headline(summary),
        sections=[
            Section(
                "Results",
                [
                    miou_table({"mIoU": summary}),
                    curves({"mIoU": summary}),
                    class_table(measurement.by_class),
                    *([class_table(by_set, heading="set")] if (by_set := measurement.by_set) else []),
                    *([class_accuracy_table(summary)] if knows_classes else []),
                ],
                lead=PROTOCOL,
            ),
            Section(
                "What the model thinks of its masks",
                [calibration_picture(calibrated)],
                lead="By the predicted IoU the model chooses among its masks, and the mask generator keeps or drops "
                f"them. It is off by {calibrated.error:.3f}, and {abs(calibrated.bias):.3f} too "
                f"{'high' if calibrated.bias > 0 else 'low'} on average, over the answers to all prompts.",
            ),
            Section("Pictures", [Gallery(rows)], lead="Objects spread evenly over the data set, not chosen by result."),
            Section("How it was made", [Code(command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


def headline(summary: dict[str, float]) -> list[Card]:
    """One card for each mIoU."""
    return [Card(label=key, value=f"{value:.3f}") for key, value in summary.items() if key.startswith("miou@")]


def curves(summaries: dict[str, dict[str, float]]) -> Picture:
    """mIoU against clicks, for a light and a dark page."""
    return Picture(
        to_png(curves_figure(summaries)),
        alt="mIoU against the number of clicks",
        png_dark=to_png(curves_figure(summaries, dark=True)),
    )


def calibration_picture(calibrated: Calibration) -> Picture:
    """True against predicted IoU, for a light and a dark page."""
    return Picture(
        to_png(calibration_figure(calibrated)),
        alt="True IoU against predicted IoU",
        png_dark=to_png(calibration_figure(calibrated, dark=True)),
    )


def versions() -> list[tuple[str, str]]:
    """What the numbers were made with."""
    return [
        ("sam-ft", version("sam-ft")),
        ("torch", torch.__version__),
        ("Python", sys.version.split()[0]),
        ("machine", f"{platform.machine()}, {torch.get_num_threads()} threads"),
    ]
