"""The page of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sam_ft.charts.calibration import calibration_figure
from sam_ft.charts.curves import curves_figure
from sam_ft.evaluation.measuring import Measurement
from sam_ft.evaluation.records.mask_record import of_summary
from sam_ft.evaluation.records.summaries import miou_keys
from sam_ft.evaluation.showing.cases import ShownCase
from sam_ft.evaluation.showing.figures import interval_words
from sam_ft.evaluation.showing.picture_rows import picture_row
from sam_ft.evaluation.showing.summary_tables import sizes_table, summary_tables
from sam_ft.metrics.bootstrap import Interval
from sam_ft.metrics.calibration import Calibration
from sam_ft.pages.page import Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section
from sam_ft.pages.versions import versions
from sam_ft.pictures import to_png

MEASURED = (
    "of the three masks after the first prompt the most confident counts. IoU is measured at the source's resolution; "
    "mIoU is the mean over masks (Segment Anything, appendix D.1)."
)
PROTOCOL = (
    "Each object is asked for on its own. The first click lies at the object's centre, every later one at the centre "
    f"of the largest error; {MEASURED}"
)
SPREAD = "Objects spread evenly over the data set, not chosen by result."
EXTREMES = "Chosen by the IoU after the last click, or with the box where no clicks were asked for."


def evaluation_page(
    measurement: Measurement,
    *,
    title: str,
    subtitle: str,
    shown: Sequence[ShownCase],
    command: str,
    extremes: Sequence[PictureRow] = (),
    lead: str = PROTOCOL,
) -> Page:
    """Headline numbers, tables, curves and pictures of one model.

    Args:
        measurement: of it.
        title: of the page.
        subtitle: below it.
        shown: the pictured objects.
        command: what made the page.
        extremes: its worst to its best answers.
        lead: how it was asked.
    """
    calibrated = measurement.calibration
    sizes = sizes_table(measurement)
    results, *tables = summary_tables(measurement)
    drawn = {"mIoU": measurement.summary}
    has_curves = any(key == "miou@box" or key[5:].isdigit() for key in miou_keys(measurement.summary))
    pictures = [Section("Pictures", [Gallery(_rows(measurement, shown))], lead=SPREAD)]
    if extremes:
        pictures.append(Section("Worst, median and best", [Gallery(extremes)], lead=EXTREMES))
    return Page(
        title=title,
        subtitle=subtitle,
        cards=headline(measurement.summary, measurement.intervals),
        sections=[
            Section(
                "Results",
                [results, *([curves(drawn, {"mIoU": measurement.intervals})] if has_curves else []), *tables],
                lead=lead,
            ),
            Section("By size", [sizes], lead="Mean IoU by the area of the object, in pixels of the source."),
            Section(
                "What the model thinks of its masks",
                [calibration_picture(calibrated)],
                lead="By the predicted IoU the model chooses among its masks, and the mask generator keeps or drops "
                f"them. It is off by {calibrated.error:.3f}, and {abs(calibrated.bias):.3f} too "
                f"{'high' if calibrated.bias > 0 else 'low'} on average, over the answers to all prompts.",
            ),
            *pictures,
            Section("How it was made", [Code(command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


def headline(summary: Mapping[str, float], intervals: Mapping[str, Interval] | None = None) -> list[Card]:
    """One card for each mIoU."""
    found = intervals or {}
    return [Card(key, f"{summary[key]:.3f}", detail=interval_words(found.get(key))) for key in miou_keys(summary)]


def curves(
    summaries: Mapping[str, Mapping[str, float]], intervals: Mapping[str, Mapping[str, Interval]] | None = None
) -> Picture:
    """mIoU against clicks, with its intervals if they are known, for a light and a dark page."""
    return Picture(
        to_png(curves_figure(summaries, intervals=intervals)),
        alt="mIoU against the number of clicks",
        png_dark=to_png(curves_figure(summaries, intervals=intervals, dark=True)),
    )


def calibration_picture(calibrated: Calibration) -> Picture:
    """True against predicted IoU, for a light and a dark page."""
    return Picture(
        to_png(calibration_figure(calibrated)),
        alt="True IoU against predicted IoU",
        png_dark=to_png(calibration_figure(calibrated, dark=True)),
    )


def _rows(measurement: Measurement, shown: Sequence[ShownCase]) -> list[PictureRow]:
    """Each case after the fewest and the most clicks and with a box."""
    clicks = {record.num_clicks for record in of_summary(measurement.records) if record.prompt == "click"}
    prompts = [*(("click", count) for count in sorted({min(clicks), max(clicks)} if clicks else clicks)), ("box", 0)]
    return [
        picture_row(case, {"prediction": measurement}, prompt=prompt, num_clicks=num_clicks)
        for case in shown
        for prompt, num_clicks in prompts
        if (case.sample.name, case.object_index, prompt, num_clicks) in measurement.answers
    ]
