"""How all charts look: transparent, for a light and for a dark page. Colours as in `sam_ft.pictures`."""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes

from sam_ft.pictures import PREDICTION

SERIES = ("#7A8089", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Lines of a chart in order: the first, what was before, is grey."""


def colours(count: int, *, dark: bool) -> list[str]:
    """One colour per line; a line on its own is not grey, and blue is lighter on a dark page."""
    palette = [PREDICTION if dark and colour == "#0072B2" else colour for colour in SERIES]
    start = 1 if count == 1 else 0
    return [palette[(start + index) % len(palette)] for index in range(count)]


def style(axes: Axes, *, title: str, dark: bool) -> None:
    """A title on the left, faint horizontal lines, and an axis below."""
    text, grid = ("#C9CDD3", "#343A43") if dark else ("#4A505A", "#E3E6EA")
    axes.set_facecolor("none")
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color="#ECEEF1" if dark else "#16191D", pad=9)
    axes.grid(axis="y", color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, colors=text)
    axes.xaxis.label.set(color=text, fontsize=8.5)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=grid)


def legend(axes: Axes, *, dark: bool, location: Literal["best", "lower right", "center right"]) -> None:
    """The names of the lines, if any has one."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc=location, frameon=False, fontsize=8.5, labelcolor="#ECEEF1" if dark else "#16191D")
