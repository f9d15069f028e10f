"""The numbers of one interactive evaluation as tables, for its page and for papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sam_ft.evaluation.measuring import Measurement
from sam_ft.evaluation.records.sizes import records_by_size
from sam_ft.evaluation.records.summaries import BOUNDARY, ORACLE, mean_over, miou_keys, summarise
from sam_ft.evaluation.showing.miou_tables import class_accuracy_table, class_table, figure_words, measured_on
from sam_ft.metrics.bootstrap import Interval
from sam_ft.pages.page import Table


def summary_tables(measurement: Measurement) -> list[Table]:
    """All tables that have a row: results, clicks until an IoU, classes, data sets, class accuracy."""
    summary, intervals = measurement.summary, measurement.intervals
    tables = [
        results_table(summary, intervals),
        clicks_table(summary, intervals),
        parts_table(measurement.by_class, heading="class"),
        parts_table(measurement.by_set, heading="set"),
        class_accuracy_table(summary),
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
        [figure_words(key), *(_with_interval(own[place], summary, intervals) for own in columns.values())]
        for place, key in enumerate(keys)
    ]
    brackets = " In brackets the 95 % interval, from drawing whole images." if intervals else ""
    return Table(columns=["prompt", *columns], rows=rows, caption=measured_on({"": summary}) + brackets)


def clicks_table(summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> Table:
    """One row per IoU: after how many clicks a mask gets there, and how many never do; no row for a single click."""
    rows = [
        [f"IoU 0.{key[4:]}", _with_interval(key, summary, intervals), f"{summary[f'nof@{key[4:]}']:,.0f}"]
        for key in summary
        if key.startswith("noc@")
    ]
    caption = "Clicks until a mask has an IoU; one that never gets there counts with the most clicks and as a failure."
    return Table(columns=["until", "clicks", "failures"], rows=rows, caption=caption)


def parts_table(parts: Mapping[str, Mapping[str, float]], *, heading: str) -> Table:
    """`class_table` with the mean over the classes or sets as the last row, if there are several."""
    table = class_table(parts, heading=heading)
    if len(parts) < 2:
        return table
    mean = mean_over(parts)
    keys = dict.fromkeys(key for summary in parts.values() for key in miou_keys(summary))
    last = ["mean", "", *(f"{mean[key]:.3f}" if key in mean else "" for key in keys)]
    return replace(table, rows=[*table.rows, last])


def sizes_table(measurement: Measurement) -> Table:
    """One row per size of objects, one column per prompt."""
    by_size = {name: summarise(records) for name, records in records_by_size(measurement.records).items()}
    return class_table(by_size, heading="area")


def _with_interval(key: str, summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> str:
    """A figure as `0.708 [0.690, 0.725]`; without an interval if there is none, empty if there is no figure."""
    if key not in summary:
        return ""
    places = 2 if key.startswith("noc@") else 3
    found = intervals.get(key)
    brackets = f" [{found.low:.{places}f}, {found.high:.{places}f}]" if found else ""
    return f"{summary[key]:.{places}f}{brackets}"
