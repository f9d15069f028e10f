"""Pictures of semantic segmentation: images with a colour for each class, and what each colour means."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from sam_ft.pictures import blank_figure

_FIRST = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#A6E3E9", "#D55E00", "#F0E442", "#7A5BC0", "#8C6D46", "#B5D33D")
"""Colours after Okabe and Ito (2008) and some more, in the order of the classes; the background has none."""

_UNKNOWN = (0.0, 0.0, 0.0, 0.85)
_STRENGTH = 0.62
_PANEL_INCHES = 3.0


@dataclass(frozen=True)
class ClassCase:
    """One image, the class of each of its pixels, and what a model has made of it.

    Attributes:
        title: what stands below the image.
        image: (H, W, 3) uint8.
        truth: (H, W) int64; 0 is the background, below 0 is unknown.
        predicted: (H, W) int64.
    """

    title: str
    image: Tensor
    truth: Tensor
    predicted: Tensor


def class_figure(cases: Sequence[ClassCase], class_names: Sequence[str]) -> Figure:
    """One row per case: the image, the truth, the prediction; below them the classes that occur.

    Raises:
        ValueError: there are no cases.
    """
    if not cases:
        raise ValueError("Expected at least one case to draw, but got none.")
    maps = [part for case in cases for part in (case.truth, case.predicted)]
    occurring = sorted({int(value) for part in maps for value in part.unique()})
    patches = _key(occurring, class_names)
    columns, caption = 5, 0.3
    heights = [_PANEL_INCHES * case.image.shape[0] / case.image.shape[1] + caption for case in cases]
    key = 0.12 + 0.22 * math.ceil(len(patches) / columns)
    total = sum(heights) + 0.3 + key
    figure = blank_figure(3 * _PANEL_INCHES, total, facecolor="white")
    grid = figure.add_gridspec(
        len(cases), 3, height_ratios=heights, left=0.005, right=0.995, wspace=0.02, hspace=0.0,
        top=1 - 0.3 / total, bottom=key / total,
    )  # fmt: skip
    for row, case in enumerate(cases):
        panels = [figure.add_subplot(grid[row, column], anchor="N") for column in range(3)]
        for axes, classes in zip(panels, (None, case.truth, case.predicted), strict=True):
            draw_classes(axes, case.image, classes)
        panels[0].set_xlabel(case.title, fontsize=8, color="#30343B")
        for axes, title in zip(panels if row == 0 else (), ("image", "truth", "prediction"), strict=False):
            axes.set_title(title, fontsize=9.5, fontweight="bold", color="#16191D", pad=5)
    figure.legend(handles=patches, loc="lower center", ncols=columns, frameon=False, fontsize=8, labelcolor="#30343B")
    return figure


def draw_classes(axes: Axes, image: Tensor, classes: Tensor | None) -> None:
    """Draw an image (H, W, 3) and over it the colours of its pixels' classes (H, W); None: the image alone."""
    pixels = image.numpy(force=True)
    if classes is not None:
        grey = pixels.mean(axis=-1, keepdims=True).astype(np.uint8)
        pixels = np.repeat(grey, 3, axis=-1)  # so that colours mean classes alone
    axes.imshow(pixels, interpolation="antialiased")
    if classes is not None:
        values = classes.numpy(force=True)
        table = np.array([(0, 0, 0, 0), *((*colour_of(k), _STRENGTH) for k in range(1, max(int(values.max()), 0) + 1))])
        area = table[values.clip(min=0)]
        area[values < 0] = _UNKNOWN
        axes.imshow(area, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def colour_of(number: int) -> tuple[float, float, float]:
    """The colour of class 1 and above, as RGB of 0 to 1; those beyond the first ones follow the golden angle."""
    if number <= len(_FIRST):
        colour = _FIRST[number - 1]
        red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
        return red, green, blue
    return colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.55 + 0.35 * (number % 2), 0.95 - 0.3 * (number % 3 == 0))


def _key(occurring: Sequence[int], class_names: Sequence[str]) -> list[Patch]:
    """What the colours mean."""
    patches = [
        Patch(facecolor=(*colour_of(number), _STRENGTH), edgecolor=colour_of(number), label=class_names[number])
        for number in occurring
        if number > 0
    ]
    if 0 in occurring:
        patches.append(Patch(facecolor="none", edgecolor="#7A8089", label=f"{class_names[0]} (no colour)"))
    if occurring[0] < 0:
        patches.append(Patch(facecolor=_UNKNOWN, label="unknown"))
    return patches
