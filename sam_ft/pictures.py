"""One place that draws: masks on images, prompts, comparisons and curves.

Figures are made through Matplotlib's objects, never through pyplot: no global state, no backend is chosen, and
any thread may draw. Colours are close to those of Okabe and Ito (2008), which people with any colour vision can
tell apart: the prediction is a blue area, the truth an amber outline, clicks are green discs (foreground) and red
diamonds (background) with their order in them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.types import FOREGROUND

TRUTH = "#E69F00"
PREDICTION = "#3D9BE0"
CLICK_FOREGROUND = "#009E73"
CLICK_BACKGROUND = "#D55E00"
BOX = "#F0E442"
SERIES = ("#7A8089", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Lines of a chart in order: the first, what was before, is grey."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Prediction:
    """One answer of a model and the prompts that it was given, in pixels of the source."""

    title: str
    mask: Tensor  # (H, W) bool
    iou: float | None = None
    points: Sequence[tuple[float, float]] = ()
    labels: Sequence[int] = ()
    box: Box | None = None


@dataclass(frozen=True)
class Case:
    """One object: its image, the prompt that all models were given, the truth and what each model made of it."""

    title: str
    image: Tensor  # (H, W, 3) uint8
    truth: Tensor  # (H, W) bool
    predictions: Sequence[Prediction]
    points: Sequence[tuple[float, float]] = ()
    labels: Sequence[int] = ()
    box: Box | None = None
    view: Box | None = None  # the part of the image to show; None: all of it


def draw_overlay(axes: Axes, image: Tensor, *, mask: Tensor | None = None, truth: Tensor | None = None) -> None:
    """Draw an image, `mask` as a translucent area with its contour, and `truth` as an outline.

    Args:
        axes: where to draw; its coordinates become pixel indices of the image.
        image: `(H, W, 3)` uint8.
        mask: `(H, W)` bool.
        truth: `(H, W)` bool.

    Raises:
        ValueError: a mask is of another size than the image.
    """
    height, width = image.shape[:2]
    axes.imshow(image.numpy(force=True), interpolation="antialiased")
    for name, value in (("mask", mask), ("truth", truth)):
        if value is not None and tuple(value.shape) != (height, width):
            raise ValueError(f"Expected `{name}` ({height}, {width}) like its image, but got {tuple(value.shape)}.")
    if mask is not None:
        area = np.zeros((height, width, 4), dtype=np.float32)
        area[mask.numpy(force=True)] = (*to_rgb(PREDICTION), 0.45)
        axes.imshow(area, interpolation="nearest")
        _draw_contour(axes, mask, colour=PREDICTION, width=1.2)
    if truth is not None:
        _draw_contour(axes, truth, colour=TRUTH, width=1.5)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_prompts(
    axes: Axes,
    *,
    points: Sequence[tuple[float, float]] = (),
    labels: Sequence[int] = (),
    box: Box | None = None,
) -> None:
    """Draw clicks, numbered in their order, and a box, all in pixels of the image that `axes` shows.

    A box includes its last pixels and is drawn around them.
    """
    if box is not None:
        x0, y0, x1, y1 = box
        corner, width, height = (x0 - 0.5, y0 - 0.5), x1 - x0 + 1, y1 - y0 + 1
        for colour, line in (("black", 3.0), (BOX, 1.6)):
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line, zorder=4))
    for number, ((x, y), label) in enumerate(zip(points, labels, strict=True), start=1):
        foreground = label == FOREGROUND
        colour, marker = (CLICK_FOREGROUND, "o") if foreground else (CLICK_BACKGROUND, "D")
        size = 9.5 if foreground else 8.5
        axes.plot(
            x,
            y,
            marker,
            markersize=size,
            markerfacecolor=colour,
            markeredgecolor="white",
            markeredgewidth=1.2,
            zorder=5,
        )
        axes.text(
            x, y, str(number), color="white", fontsize=6, fontweight="bold", ha="center", va="center_baseline", zorder=6
        )


def overlay(
    image: Tensor,
    mask: Tensor | None = None,
    *,
    truth: Tensor | None = None,
    points: Sequence[tuple[float, float]] = (),
    labels: Sequence[int] = (),
    box: Box | None = None,
    view: Box | None = None,
) -> Figure:
    """One picture without a margin: an image with whatever of prediction, truth and prompts is given.

    `view` is the part of the image to show; the figure has its proportions.
    """
    height, width = _extent(image, view)
    scale = 2.5 / max(height, width)
    figure = _figure(width * scale, height * scale, facecolor="black")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _draw_panel(axes, image, mask=mask, truth=truth, view=view)
    draw_prompts(axes, points=points, labels=labels, box=box)
    return figure


def comparison_figure(cases: Sequence[Case]) -> Figure:
    """One row per case: the image with its prompt, the truth, and each prediction with its IoU and own prompts.

    Raises:
        ValueError: there are no cases, or they do not have equally many predictions.
    """
    if not cases or len({len(case.predictions) for case in cases}) != 1:
        raise ValueError(f"Expected cases with equally many predictions, but got {len(cases)} cases.")
    panel = 2.3
    columns = 2 + len(cases[0].predictions)
    caption = 0.34
    heights = [height for case in cases for height in (panel * min(max(_aspect(case), 0.4), 1.6), caption)]
    figure = _figure(columns * panel, sum(heights) + 0.3, facecolor="white")
    grid = figure.add_gridspec(
        2 * len(cases), columns, height_ratios=heights, left=0.005, right=0.995, wspace=0.03, hspace=0.0,
        top=1 - 0.3 / (sum(heights) + 0.3), bottom=0.0,
    )  # fmt: skip
    for row, case in enumerate(cases):
        panels = [figure.add_subplot(grid[2 * row, column]) for column in range(columns)]
        _draw_panel(panels[0], case.image, view=case.view)
        draw_prompts(panels[0], points=case.points, labels=case.labels, box=case.box)
        panels[0].set_xlabel(_shortened(case.title), fontsize=8, color="#30343B")
        _draw_panel(panels[1], case.image, truth=case.truth, view=case.view)
        for axes, prediction in zip(panels[2:], case.predictions, strict=True):
            _draw_panel(axes, case.image, mask=prediction.mask, truth=case.truth, view=case.view)
            draw_prompts(axes, points=prediction.points, labels=prediction.labels, box=prediction.box)
            axes.set_xlabel("" if prediction.iou is None else f"IoU {prediction.iou:.3f}", fontsize=8, color="#30343B")
        if row == 0:
            titles = ("prompt", "truth", *(prediction.title for prediction in case.predictions))
            for axes, title in zip(panels, titles, strict=True):
                axes.set_title(title, fontsize=9.5, fontweight="bold", color="#16191D", pad=5)
    return figure


def curves_figure(summaries: Mapping[str, Mapping[str, float]], *, dark: bool = False) -> Figure:
    """Mean IoU against the number of clicks, one line per summary, and the box as a marker of its own.

    Args:
        summaries: from a name such as "before" to what `summarise` returns.
        dark: whether the page behind it is dark.

    Raises:
        ValueError: no summary holds a `miou@...`.
    """
    counts = sorted({int(key[5:]) for summary in summaries.values() for key in summary if key[5:].isdigit()})
    with_box = any("miou@box" in summary for summary in summaries.values())
    if not counts and not with_box:
        raise ValueError(f"Expected summaries with `miou@...`, but got {list(summaries)} without any.")
    figure = _figure(5.6, 3.3, facecolor="none")
    axes = figure.add_axes((0.08, 0.09, 0.905, 0.79))
    box_place = len(counts) + 0.35
    for (name, summary), colour in zip(summaries.items(), _colours(len(summaries), dark=dark), strict=True):
        places = [place for place, count in enumerate(counts) if f"miou@{count}" in summary]
        values = [summary[f"miou@{counts[place]}"] for place in places]
        axes.plot(places, values, "-o", color=colour, linewidth=2.2, markersize=6.5, label=name, clip_on=False)
        annotated = [(float(place), value) for place, value in zip(places, values, strict=True)]
        if "miou@box" in summary:
            axes.plot(box_place, summary["miou@box"], "s", color=colour, markersize=8, clip_on=False)
            annotated.append((box_place, summary["miou@box"]))
        for place, value in annotated:
            axes.annotate(
                f"{value:.3f}",
                (place, value),
                (0, 8),
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
    _legend(axes, dark=dark, location="lower right")
    return figure


def training_figure(path: str | Path, *, dark: bool = False) -> Figure:
    """The losses and the validation mIoU over the steps of a training, from its CSV log (`metrics.csv`).

    Columns with "loss" in their name go to the left, those with "miou" to the right, over the column `step`.

    Raises:
        ValueError: the file cannot be read or holds no such columns.
    """
    columns = _read_columns(path)
    figure = _figure(9.6, 3.4, facecolor="none")
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


def view_around(masks: Tensor, *, margin: float = 0.35, min_size: float = 32.0) -> Box:
    """The part of an image to show so that objects fill it well: a square around their box, kept inside the image.

    Args:
        masks: `(..., H, W)` bool; all of them are shown.
        margin: free space on each side, as a fraction of the box's longer side.
        min_size: the view's smallest side, in pixels.

    Returns:
        `(x0, y0, x1, y1)` with the last pixels included; all of the image if the masks are empty.
    """
    height, width = masks.shape[-2:]
    together = masks.reshape(-1, height, width).any(dim=0)
    if not together.any():
        return 0.0, 0.0, width - 1.0, height - 1.0
    x0, y0, x1, y1 = boxes_of_masks(together).tolist()
    side = max(math.ceil((max(x1 - x0, y1 - y0) + 1) * (1 + 2 * margin)), min_size)
    left, right = _interval((x0 + x1) / 2, side, width)
    top, bottom = _interval((y0 + y1) / 2, side, height)
    return left, top, right, bottom


def to_png(figure: Figure, *, dpi: int = 200) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _figure(width_inches: float, height_inches: float, *, facecolor: str) -> Figure:
    figure = Figure(figsize=(width_inches, height_inches), facecolor=facecolor)
    FigureCanvasAgg(figure)
    return figure


def _draw_panel(
    axes: Axes, image: Tensor, *, mask: Tensor | None = None, truth: Tensor | None = None, view: Box | None = None
) -> None:
    draw_overlay(axes, image, mask=mask, truth=truth)
    if view is not None:
        axes.set(xlim=(view[0] - 0.5, view[2] + 0.5), ylim=(view[3] + 0.5, view[1] - 0.5))


def _draw_contour(axes: Axes, mask: Tensor, *, colour: str, width: float) -> None:
    """The mask's outline; objects at the image's border are closed along it."""
    padded = np.pad(mask.numpy(force=True), 1).astype(np.float32)
    if padded.any():
        rows, columns = (np.arange(-1, length - 1) for length in padded.shape)
        axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=[width])


def _extent(image: Tensor, view: Box | None) -> tuple[float, float]:
    if view is None:
        return image.shape[0], image.shape[1]
    return view[3] - view[1] + 1, view[2] - view[0] + 1


def _shortened(title: str, *, length: int = 36) -> str:
    """A title that fits under a panel: what is too long loses its middle."""
    if len(title) <= length:
        return title
    return f"{title[: length // 2 - 1]}…{title[-(length // 2 - 1) :]}"


def _aspect(case: Case) -> float:
    height, width = _extent(case.image, case.view)
    return height / width


def _interval(centre: float, side: float, length: int) -> tuple[float, float]:
    """The first and the last pixel of `side` pixels about `centre`, moved and cut to lie in 0 to `length` - 1."""
    side = min(side, length)
    first = min(max(round(centre - (side - 1) / 2), 0), length - math.floor(side))
    return float(first), float(first + math.floor(side) - 1)


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


def _legend(axes: Axes, *, dark: bool, location: Literal["best", "lower right"]) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc=location, frameon=False, fontsize=8.5, labelcolor="#ECEEF1" if dark else "#16191D")
