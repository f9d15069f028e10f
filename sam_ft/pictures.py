"""One place that draws masks on images, prompts and comparisons; curves are in `sam_ft.charts`.

Figures are made through Matplotlib's objects, never through pyplot: no global state, no backend is chosen, and
any thread may draw. Colours are close to those of Okabe and Ito (2008), which people with any colour vision can
tell apart: the prediction is a blue area, the truth an amber outline, clicks are green discs (foreground) and red
diamonds (background) with their order in them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.transforms import nearest_indices
from sam_ft.types import FOREGROUND

TRUTH = "#E69F00"
PREDICTION = "#3D9BE0"
CLICK_FOREGROUND = "#009E73"
CLICK_BACKGROUND = "#D55E00"
BOX = "#F0E442"
Box = tuple[float, float, float, float]
Colour = str | tuple[float, float, float]


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
        draw_contour(axes, mask, colour=PREDICTION, width=1.2)
    if truth is not None:
        draw_contour(axes, truth, colour=TRUTH, width=1.5)
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
    figure = blank_figure(width * scale, height * scale, facecolor="black")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _draw_panel(axes, image, mask=mask, truth=truth, view=view)
    draw_prompts(axes, points=points, labels=labels, box=box)
    return figure


def outlined(image: np.ndarray, labels: np.ndarray | None, *, side: int = 360) -> bytes:
    """A PNG of an image with the outlines of all its objects in the colour of the truth.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) whole numbers, another one for each object; None: no outlines.
        side: the longer side of the picture, in pixels.
    """
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    picture = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
    if labels is not None:
        rows, columns = (nearest_indices(*pair).numpy() for pair in zip(labels.shape, (height, width), strict=True))
        shown = labels[rows][:, columns]
        edge = np.zeros(shown.shape, dtype=bool)
        edge[1:] |= shown[1:] != shown[:-1]
        edge[:, 1:] |= shown[:, 1:] != shown[:, :-1]
        pixels = np.array(picture)
        pixels[edge] = [round(255 * part) for part in to_rgb(TRUTH)]
        picture = Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    return buffer.getvalue()


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
    figure = blank_figure(columns * panel, sum(heights) + 0.3, facecolor="white")
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
            asked = any(len(case.points) or case.box is not None for case in cases)
            titles = ("prompt" if asked else "image", "truth", *(prediction.title for prediction in case.predictions))
            for axes, title in zip(panels, titles, strict=True):
                axes.set_title(title, fontsize=9.5, fontweight="bold", color="#16191D", pad=5)
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


def blank_figure(width_inches: float, height_inches: float, *, facecolor: str) -> Figure:
    """A figure without pyplot; "none" for a transparent one."""
    figure = Figure(figsize=(width_inches, height_inches), facecolor=facecolor)
    FigureCanvasAgg(figure)
    return figure


def _draw_panel(
    axes: Axes, image: Tensor, *, mask: Tensor | None = None, truth: Tensor | None = None, view: Box | None = None
) -> None:
    draw_overlay(axes, image, mask=mask, truth=truth)
    if view is not None:
        axes.set(xlim=(view[0] - 0.5, view[2] + 0.5), ylim=(view[3] + 0.5, view[1] - 0.5))


def draw_contour(axes: Axes, mask: Tensor, *, colour: Colour, width: float) -> None:
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
