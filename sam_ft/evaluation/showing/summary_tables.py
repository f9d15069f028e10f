"""The numbers of one interactive evaluation as tables, for its page and for papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sam_ft.evaluation.measuring import Measurement
from sam_ft.evaluation.records.intervals import intervals
from sam_ft.evaluation.records.parts import Parts
from sam_ft.evaluation.records.sizes import records_by_size
from sam_ft.evaluation.records.summaries import BOUNDARY, CLICKS, FAILURES, ORACLE, miou_keys, summarise
from sam_ft.evaluation.showing.figures import IN_BRACKETS, with_interval
from sam_ft.evaluation.showing.miou_tables import (
    class_accuracy_table,
    class_table,
    figure_words,
    measured_on,
    shown_keys,
)
from sam_ft.metrics.bootstrap import LEAST_CLUSTERS, Interval
from sam_ft.pages.page import Table


def summary_tables(measurement: Measurement) -> list[Table]:
    """All tables that have a row: results, clicks until an IoU, classes, data sets, class accuracy."""
    summary, found = measurement.summary, measurement.intervals
    tables = [
        results_table(summary, found),
        clicks_table(summary, found),
        parts_table(measurement.classes, heading="class"),
        parts_table(measurement.sets, heading="set"),
        class_accuracy_table(summary, found),
    ]
    return [table for table in tables if table.rows]


def results_table(summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> Table:
    """One row per prompt: the mean IoU, and where they were measured that of the best of three masks and of boundaries.

    Args:
        summary: what `summarise` returns.
        intervals: of its figures, as far as there are any.
    """
    keys = miou_keys(summary)
    columns = {
        "mIoU": keys,
        "best of three masks": [f"{key}{ORACLE}" for key in keys],
        "mean boundary IoU": [key.replace("miou@", BOUNDARY) for key in keys],
    }
    columns = {name: own for name, own in columns.items() if any(key in summary for key in own)}
    rows = [
        [figure_words(key), *(with_interval(own[place], summary, intervals) for own in columns.values())]
        for place, key in enumerate(keys)
    ]
    brackets = f" {IN_BRACKETS}" if intervals else ""
    return Table(columns=["prompt", *columns], rows=rows, caption=measured_on({"": summary}) + brackets)


def clicks_table(summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> Table:
    """One row per IoU: after how many clicks a mask gets there, and how many never do; no row for a single click."""
    rows = [
        [f"IoU 0.{key[4:]}", *(with_interval(each, summary, intervals) for each in (key, f"{FAILURES}{key[4:]}"))]
        for key in summary
        if key.startswith(CLICKS)
    ]
    caption = "Clicks until a mask has an IoU; one that never gets there counts with the most clicks and as a failure."
    return Table(columns=["until", "clicks", "failures"], rows=rows, caption=caption)


def parts_table(parts: Parts, *, heading: str) -> Table:
    """`class_table` with the mean over the classes or sets as the last row, if there are several."""
    table = class_table(parts.summaries, heading=heading, intervals=parts.intervals)
    if len(parts.records) < 2:
        return table
    keys = shown_keys(parts.summaries)
    mean = [with_interval(key, parts.mean, parts.mean_intervals) for key in keys]
    without = any(parts.intervals.values()) and any(
        key in parts.mean and key not in parts.mean_intervals for key in keys
    )
    caption = f"A mean has no interval where a {heading} is in fewer than {LEAST_CLUSTERS} images." if without else ""
    return replace(table, rows=[*table.rows, ["mean", "", *mean]], caption=caption)


def sizes_table(measurement: Measurement) -> Table:
    """One row per size of objects, one column per prompt."""
    by_size = records_by_size(measurement.records)
    return class_table(
        {name: summarise(records) for name, records in by_size.items()},
        heading="area",
        intervals={name: intervals(records) for name, records in by_size.items()},
    )
