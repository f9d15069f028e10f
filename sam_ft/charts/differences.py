"""Differences of two models with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from sam_ft.charts.style import SERIES, style
from sam_ft.pictures import blank_figure


@dataclass(frozen=True)
class Difference:
    """A difference and its interval, if it has one; it is clear if the interval lies on one side of zero."""

    label: str
    value: float
    low: float | None
    high: float | None
    group: str = ""  # rows of one group stand together under its name


def differences_figure(differences: Sequence[Difference], *, title: str, dark: bool = False) -> Figure:
    """One row per difference, with its interval: green above zero, orange below, else grey; a dot alone if it has none.

    Args:
        differences: from top to bottom.
        title: of the chart.
        dark: whether the page behind it is dark.

    Raises:
        ValueError: there are none.
    """
    if not differences:
        raise ValueError("Expected at least one difference to draw, but got none.")
    text = "#C9CDD3" if dark else "#4A505A"
    places, names, headings = _rows(differences)
    height = 0.27 * (max(places) + 2) + 0.75
    figure = blank_figure(5.6, height, facecolor="none")
    axes = figure.add_axes((0.39, 0.45 / height, 0.59, 1 - 0.8 / height))
    axes.axvline(0, color="#8A9099", linewidth=1.2, linestyle="--")
    for place, row in zip(places, differences, strict=True):
        colour = "#8A9099"
        if row.low is not None and row.high is not None:
            colour = SERIES[3] if row.low > 0 else SERIES[2] if row.high < 0 else colour
            axes.plot([row.low, row.high], [place, place], "-", color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot(row.value, place, "o", color=colour, markersize=6.5)
    for place, heading in headings:
        axes.text(
            -0.02, place, heading, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8.5,
            fontweight="bold", color=text,
        )  # fmt: skip
    axes.set(ylim=(max(places) + 0.7, -0.7))
    axes.set_yticks(places, names)
    axes.locator_params(axis="x", nbins=5)
    style(axes, title=title, dark=dark)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color="#343A43" if dark else "#E3E6EA", linewidth=0.8)
    return figure


def _rows(differences: Sequence[Difference]) -> tuple[list[int], list[str], list[tuple[int, str]]]:
    """The row of each difference and its label, and the rows of the groups' names above them."""
    places, headings, row = [], [], 0
    for index, each in enumerate(differences):
        if each.group and (index == 0 or differences[index - 1].group != each.group):
            headings.append((row, each.group))
            row += 1
        places.append(row)
        row += 1
    return places, [each.label for each in differences], headings
