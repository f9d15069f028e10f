"""Mean IoU against clicks, and recall against the number of masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sam_ft.charts.style import colours, legend, style
from sam_ft.metrics.bootstrap import Interval
from sam_ft.pictures import blank_figure

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
    for (name, summary), colour in zip(summaries.items(), colours(len(summaries), dark=dark), strict=True):
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
    style(axes, title="Mean IoU on held-out masks", dark=dark)
    is_low = any(value < _LEGEND_HEIGHT for _, value, _ in labels)
    legend(axes, dark=dark, location="center right" if is_low else "lower right")
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
    for (name, curve), colour in zip(curves.items(), colours(len(curves), dark=dark), strict=True):
        numbers, recalls = zip(*curve, strict=True)
        axes.plot(numbers, recalls, "-o", color=colour, linewidth=2.2, markersize=5, label=name, clip_on=False)
    ticks = sorted({number for curve in curves.values() for number, _ in curve})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlim=(ticks[0], ticks[-1]), ylim=(0, 1), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_xlabel("proposals for each image")
    style(axes, title="Average recall", dark=dark)
    legend(axes, dark=dark, location="best")
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
