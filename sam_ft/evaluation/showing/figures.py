"""A figure and its interval in words."""

from __future__ import annotations

from collections.abc import Mapping

from sam_ft.evaluation.records.number_of_clicks import CLICKS, FAILURES
from sam_ft.metrics.bootstrap import Interval

IN_BRACKETS = "In brackets the 95 % interval, from drawing whole images."


def with_interval(key: str, summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> str:
    """A figure as `0.708 [0.690, 0.725]`; without an interval if there is none, empty if there is no figure."""
    if key not in summary:
        return ""
    places = 0 if key.startswith(FAILURES) else 2 if key.startswith(CLICKS) else 3
    found = intervals.get(key)
    brackets = f" [{found.low:,.{places}f}, {found.high:,.{places}f}]" if found else ""
    return f"{summary[key]:,.{places}f}{brackets}"


def interval_words(interval: Interval | None) -> str:
    """What stands below a headline number; empty where there is no interval."""
    return "" if interval is None else f"95 %: {interval.low:.3f} to {interval.high:.3f}"
