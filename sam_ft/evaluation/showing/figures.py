"""A figure and its interval, as text of tables and cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sam_ft.evaluation.records.summaries import CLICKS, FAILURES
from sam_ft.metrics.bootstrap import Interval

IN_BRACKETS = "In brackets the 95 % interval, from drawing whole images."

_TWO_PLACES = (CLICKS, "hd95_mm", "difference_ml")


def with_interval(key: str, summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> str:
    """A figure as `0.708 [0.690, 0.725]`; without an interval if there is none, empty if there is no figure."""
    found = intervals.get(key)
    return written_with_ends(key, summary.get(key), None if found is None else found.ends)


def written_with_ends(key: str, value: float | None, ends: Sequence[float] | None) -> str:
    """The same of one figure; empty where it is None."""
    if value is None:
        return ""
    brackets = f" [{', '.join(written(key, end) for end in ends)}]" if ends else ""
    return written(key, value) + brackets


def written(key: str, value: float) -> str:
    """A figure with as many places as it needs; counts as whole numbers."""
    places = 0 if key.startswith(FAILURES) else 2 if key.startswith(_TWO_PLACES) else 3
    return f"{value:,.{places}f}"


def interval_words(interval: Interval | None) -> str:
    """What stands below a headline number; empty where there is no interval."""
    return "" if interval is None else f"95 %: {interval.low:.3f} to {interval.high:.3f}"
