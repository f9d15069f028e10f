"""How often values occur."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from sam_ft.charts.style import SERIES, colours, style
from sam_ft.pictures import blank_figure


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
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours(1, dark=dark)[0])
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
    style(axes, title=title, dark=dark)
    return figure
