"""Paired differences as a table and as a chart."""

from __future__ import annotations

from collections.abc import Sequence

from sam_ft.charts.differences import Difference, differences_figure
from sam_ft.evaluation.comparing.changes import BETTER, WORSE, Change
from sam_ft.pages.page import Picture, Table
from sam_ft.pages.tables import signed
from sam_ft.pictures import to_png

INTERVALS = (
    "Both models answer for the same masks. The 95 % interval of the mean difference comes from a bootstrap that draws "
    "whole images. Where zero lies inside it, the difference stands in brackets: it may be chance. Of twenty rows "
    "without any true difference, one is still clear by chance."
)


def changes_table(
    changes: Sequence[Change], *, caption: str = "", names: tuple[str, str] = ("before", "after")
) -> Table:
    """One row per change; a difference that may be chance stands in brackets, and so does one of too few images."""
    rows = []
    for row in changes:
        difference = signed(row.difference)
        name = row.prompt if row.objects == "all" else f"{row.objects}, {row.prompt}"
        rows.append(
            [
                name,
                f"{row.count:,}",
                f"{row.before:.3f}",
                f"{row.after:.3f}",
                difference if row.verdict in (BETTER, WORSE) else f"({difference})",
                interval_of(row),
                row.verdict,
            ]
        )
    columns = ["prompt", "count", *names, "difference", "95 % interval", "verdict"]
    return Table(columns=columns, rows=rows, caption=caption)


def interval_of(change: Change) -> str:
    """`[+0.010, +0.030]`; empty for too few images."""
    return "" if change.low is None or change.high is None else f"[{signed(change.low)}, {signed(change.high)}]"


def changes_picture(differences: Sequence[Difference], *, alt: str) -> Picture:
    """The differences with their intervals, for a light and a dark page."""
    title = "Difference, with its 95 % interval"
    return Picture(
        to_png(differences_figure(differences, title=title)),
        alt=alt,
        png_dark=to_png(differences_figure(differences, title=title, dark=True)),
    )
