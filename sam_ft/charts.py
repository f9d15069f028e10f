"""Curves and other charts of numbers, transparent, for a light and for a dark page. Colours as in `sam_ft.pictures`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from sam_ft.metrics.bootstrap import Interval
from sam_ft.metrics.calibration import Calibration
from sam_ft.pictures import PREDICTION, blank_figure

SERIES = ("#7A8089", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Lines of a chart in order: the first, what was before, is grey."""


_LABEL_HEIGHT, _LEGEND_HEIGHT = 0.06, 0.25
"""Of the chart of mean IoU, in units of its axis."""


def curves_figure(
    summaries: Mapping[str, Mapping[str, float]],
    *,
    intervals: Mapping[str, Mapping[str, Interval]] | None = None,
    dark: bool = False,
) -> Figure:
    """Mean IoU against the number of clicks, one line per summary, and the box as a marker of its own.

    Args:
        summaries: from a name such as "before" to what `summarise` returns.
        intervals: from the same names to the intervals of these figures, drawn as a band; a summary may have none.
        dark: whether the page behind it is dark.

    Raises:
        ValueError: no summary holds a `miou@...`.
    """
    keys = {key for summary in summaries.values() for key in summary if key.startswith("miou@")}
    counts = sorted(int(key[5:]) for key in keys if key[5:].isdigit())
    with_box = "miou@box" in keys
    if not counts and not with_box:
        raise ValueError(f"Expected summaries with `miou@...`, but got {list(summaries)} without any.")
    figure = blank_figure(5.6, 3.3, facecolor="none")
    axes = figure.add_axes((0.08, 0.09, 0.905, 0.79))
    box_place = len(counts) + 0.35
    labels: list[tuple[float, float, str]] = []
    for (name, summary), colour in zip(summaries.items(), _colours(len(summaries), dark=dark), strict=True):
        places = [place for place, count in enumerate(counts) if f"miou@{count}" in summary]
        values = [summary[f"miou@{counts[place]}"] for place in places]
        axes.plot(places, values, "-o", color=colour, linewidth=2.2, markersize=6.5, label=name, clip_on=False)
        _bands(axes, (intervals or {}).get(name, {}), counts=counts, box_place=box_place, colour=colour)
        annotated = [(float(place), value) for place, value in zip(places, values, strict=True)]
        if "miou@box" in summary:
            axes.plot(box_place, summary["miou@box"], "s", color=colour, markersize=8, clip_on=False)
            annotated.append((box_place, summary["miou@box"]))
        labels += [(place, value, colour) for place, value in annotated]
    for place, value, colour in labels:
        is_crowded = any(other == place and 0 < above - value < _LABEL_HEIGHT for other, above, _ in labels)
        axes.annotate(
            f"{value:.3f}",
            (place, value),
            (0, -15 if is_crowded else 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
        )
    ticks = [*range(len(counts)), *([box_place] if with_box else [])]
    names = [f"{count} click{'s' * (count > 1)}" for count in counts] + ["box"] * with_box
    axes.set_xticks(ticks, names)
    axes.set(xlim=(-0.35, ticks[-1] + 0.35), ylim=(0, 1), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    _style(axes, title="Mean IoU on held-out masks", dark=dark)
    is_low = any(value < _LEGEND_HEIGHT for _, value, _ in labels)
    _legend(axes, dark=dark, location="center right" if is_low else "lower right")
    return figure


def training_figure(path: str | Path, *, dark: bool = False) -> Figure:
    """The losses and the validation mIoU over the steps of a training, from its CSV log (`metrics.csv`).

    Columns with "loss" in their name go to the left, those with "miou" to the right, over the column `step`.

    Raises:
        ValueError: the file cannot be read or holds no such columns.
    """
    columns = _read_columns(path)
    figure = blank_figure(9.6, 3.4, facecolor="none")
    halves = figure.subplots(
        1, 2, gridspec_kw={"left": 0.055, "right": 0.985, "top": 0.88, "bottom": 0.16, "wspace": 0.16}
    )
    for axes, word, title in zip(halves, ("loss", "miou"), ("Training loss", "Validation mIoU"), strict=True):
        names = [name for name in columns if word in name.lower()]
        for name, colour in zip(names, _colours(len(names), dark=dark)[::-1], strict=True):
            steps, values = columns[name]
            smooth = len(values) > 40
            axes.plot(
                steps,
                values,
                color=colour,
                linewidth=1 if smooth else 2,
                alpha=0.3 if smooth else 1,
                marker="o" if len(values) < 25 else None,
                markersize=4,
                label=None if smooth else name,
            )
            if smooth:
                axes.plot(steps, _smoothed(values), color=colour, linewidth=2, label=name)
        if word == "miou":
            axes.set(ylim=(0, 1))
        axes.set_xlabel("step")
        _style(axes, title=title, dark=dark)
        _legend(axes, dark=dark, location="best")
    return figure


def calibration_figure(calibration: Calibration, *, dark: bool = False) -> Figure:
    """True against predicted IoU: a disc for each bin, as large as its number of masks; the diagonal would be right."""
    return calibrations_figure({"": calibration}, dark=dark)


def calibrations_figure(calibrations: Mapping[str, Calibration], *, dark: bool = False) -> Figure:
    """`calibration_figure` of several models, one line for each; of a single one with the numbers of masks."""
    figure = blank_figure(5.6, 3.6, facecolor="none")
    axes = figure.add_axes((0.09, 0.14, 0.895, 0.74))
    axes.plot([0, 1], [0, 1], "--", color="#8A9099", linewidth=1.2)
    colours = _colours(len(calibrations), dark=dark)
    for (name, calibration), colour in zip(calibrations.items(), colours, strict=True):
        bins = [each for each in calibration.bins if each.count]
        largest = max((each.count for each in bins), default=1)
        predicted, actual = [each.predicted for each in bins], [each.actual for each in bins]
        axes.plot(predicted, actual, "-", color=colour, linewidth=1.6)
        sizes = [30 + 220 * each.count / largest for each in bins]
        axes.scatter(predicted, actual, s=sizes, color=colour, zorder=3, label=name or None)
        for each in bins if len(calibrations) == 1 else []:
            axes.annotate(
                str(each.count),
                (each.predicted, each.actual),
                (9, -10),
                textcoords="offset points",
                fontsize=7.5,
                color="#C9CDD3" if dark else "#4A505A",
            )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_xlabel("predicted IoU")
    counted = ", with the number of masks" if len(calibrations) == 1 else ""
    _style(axes, title=f"True IoU by predicted IoU{counted}", dark=dark)
    _legend(axes, dark=dark, location="lower right")
    return figure


def recall_figure(curves: Mapping[str, Sequence[tuple[int, float]]], *, dark: bool = False) -> Figure:
    """Recall against the number of proposals, on a logarithmic axis, one line per name.

    Args:
        curves: from a name such as "small" to (number, recall), the numbers rising.
        dark: whether the page behind it is dark.

    Raises:
        ValueError: there are no curves.
    """
    if not curves:
        raise ValueError("Expected at least one curve to draw, but got none.")
    figure = blank_figure(5.6, 3.3, facecolor="none")
    axes = figure.add_axes((0.08, 0.14, 0.88, 0.74))
    for (name, curve), colour in zip(curves.items(), _colours(len(curves), dark=dark), strict=True):
        numbers, recalls = zip(*curve, strict=True)
        axes.plot(numbers, recalls, "-o", color=colour, linewidth=2.2, markersize=5, label=name, clip_on=False)
    ticks = sorted({number for curve in curves.values() for number, _ in curve})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlim=(ticks[0], ticks[-1]), ylim=(0, 1), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_xlabel("proposals for each image")
    _style(axes, title="Average recall", dark=dark)
    _legend(axes, dark=dark, location="best")
    return figure


@dataclass(frozen=True)
class Difference:
    """A difference and its interval; it is clear if the interval lies on one side of zero."""

    label: str
    value: float
    low: float
    high: float
    group: str = ""  # rows of one group stand together under its name


def differences_figure(differences: Sequence[Difference], *, title: str, dark: bool = False) -> Figure:
    """One row per difference, with its interval: green above zero, orange below, grey where zero lies inside.

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
        colour = SERIES[3] if row.low > 0 else SERIES[2] if row.high < 0 else "#8A9099"
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
    _style(axes, title=title, dark=dark)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color="#343A43" if dark else "#E3E6EA", linewidth=0.8)
    return figure


def histogram_figure(
    edges: Sequence[float],
    counts: Sequence[float],
    *,
    title: str,
    xlabel: str,
    mark: float | None = None,
    dark: bool = False,
) -> Figure:
    """Bars between edges; on a logarithmic axis where the last edge is more than 20 times the first.

    Args:
        edges: of the bars, rising, one more than there are bars.
        counts: the height of each bar.
        title: of the chart.
        xlabel: what is counted, with its unit.
        mark: a place on the axis to mark with a line.
        dark: whether the page behind it is dark.
    """
    figure = blank_figure(5.6, 2.6, facecolor="none")
    axes = figure.add_axes((0.1, 0.19, 0.885, 0.66))
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=_colours(1, dark=dark)[0])
    if edges[0] > 0 and edges[-1] / edges[0] > 20:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
    if mark is not None:
        axes.axvline(mark, color=SERIES[2], linewidth=1.6, linestyle="--")
    axes.set(xlim=(edges[0], edges[-1]))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel(xlabel)
    _style(axes, title=title, dark=dark)
    return figure


def _bands(
    axes: Axes, intervals: Mapping[str, Interval], *, counts: Sequence[int], box_place: float, colour: str
) -> None:
    """The intervals after these numbers of clicks, at places 0, 1, 2, ..., and that of the box."""
    known = [(place, intervals[f"miou@{count}"]) for place, count in enumerate(counts) if f"miou@{count}" in intervals]
    if known:
        lows, highs = [found.low for _, found in known], [found.high for _, found in known]
        axes.fill_between([place for place, _ in known], lows, highs, color=colour, alpha=0.2, linewidth=0)
    if box := intervals.get("miou@box"):
        axes.plot([box_place, box_place], [box.low, box.high], "-", color=colour, linewidth=6, alpha=0.25)


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


def _read_columns(path: str | Path) -> dict[str, tuple[list[float], list[float]]]:
    """From a column's name to its steps and values, where it has any."""
    columns: dict[str, tuple[list[float], list[float]]] = {}
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    if text and row.get("step") and ("loss" in name.lower() or "miou" in name.lower()):
                        steps, values = columns.setdefault(name, ([], []))
                        steps.append(float(row["step"]))
                        values.append(float(text))
    except (OSError, ValueError) as err:
        raise ValueError(f"Expected a CSV log of numbers at {path}, but it cannot be read: {err}.") from err
    if not columns:
        raise ValueError(
            f"Expected columns `step` and `...loss...` or `...miou...` in {path}, but got none with values."
        )
    return columns


def _smoothed(values: Sequence[float], *, weight: float = 0.9) -> list[float]:
    """An exponential mean, corrected for its start."""
    total, norm, result = 0.0, 0.0, []
    for value in values:
        total, norm = weight * total + (1 - weight) * value, weight * norm + 1 - weight
        result.append(total / norm)
    return result


def _colours(count: int, *, dark: bool) -> list[str]:
    """One colour per line; a line on its own is not grey, and blue is lighter on a dark page."""
    palette = [PREDICTION if dark and colour == "#0072B2" else colour for colour in SERIES]
    start = 1 if count == 1 else 0
    return [palette[(start + index) % len(palette)] for index in range(count)]


def _style(axes: Axes, *, title: str, dark: bool) -> None:
    text, grid = ("#C9CDD3", "#343A43") if dark else ("#4A505A", "#E3E6EA")
    axes.set_facecolor("none")
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color="#ECEEF1" if dark else "#16191D", pad=9)
    axes.grid(axis="y", color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, colors=text)
    axes.xaxis.label.set(color=text, fontsize=8.5)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=grid)


def _legend(axes: Axes, *, dark: bool, location: Literal["best", "lower right", "center right"]) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc=location, frameon=False, fontsize=8.5, labelcolor="#ECEEF1" if dark else "#16191D")
