"""What a model found, drawn for people: masks in clear colours with their outlines, and the prompts.

Like the rest of the drawing, through Matplotlib's objects: axes come in and go out, and no window is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from torch import Tensor

from sam_ft.class_pictures import colour_of
from sam_ft.pictures import blank_figure, draw_contour, draw_overlay, draw_prompts

_SHOWN_INCHES = 6.0
_MOST_NAMES = 20
_STRENGTH = 0.5

Masks = np.ndarray | Tensor | Sequence[Mapping[str, Any]]


def show_masks(
    masks: Masks,
    image: np.ndarray | Tensor | None = None,
    *,
    names: Sequence[str] | None = None,
    axes: Axes | None = None,
    contours: bool = True,
) -> Axes:
    """Draw masks over an image, each in a colour of its own, small ones above large ones.

    Args:
        masks: `(N, H, W)` or `(H, W)` bool, or the records of `SamAutomaticMaskGenerator.generate`.
        image: `(H, W, 3)` uint8 below them; None: nothing.
        names: of the masks, for a legend; equal names have one colour. None: no legend.
        axes: where to draw; None: a new figure (`axes.figure.savefig("masks.png")`).
        contours: whether outlines are drawn.

    Returns:
        The axes, whose coordinates are pixels of the image.

    Raises:
        ValueError: masks of another type or size than the image, or another number of names.
    """
    stack = _stack(masks)  # (N, H, W)
    if names is not None and len(names) != len(stack):
        raise ValueError(f"Expected {len(stack)} `names`, but got {len(names)}.")
    height, width = stack.shape[1:]
    below = np.zeros((height, width, 3), np.uint8) if image is None else np.asarray(image)
    if below.shape != (height, width, 3):
        raise ValueError(f"Expected `image` ({height}, {width}, 3) like the masks, but got {below.shape}.")
    axes = _new_axes(height, width) if axes is None else axes
    draw_overlay(axes, torch.as_tensor(below))
    colours = _colours(names if names is not None else range(len(stack)))
    layer = np.zeros((height, width, 4), dtype=np.float32)
    order = np.argsort(-stack.sum(axis=(1, 2)), kind="stable")
    for index in order:
        layer[stack[index]] = (*colours[index], _STRENGTH)
    axes.imshow(layer, interpolation="nearest")
    if contours:
        for index in order:
            draw_contour(axes, torch.from_numpy(stack[index]), colour=colours[index], width=1.2)
    if names is not None:
        _draw_legend(axes, dict(zip(names, colours, strict=True)))
    return axes


def show_prompts(
    point_coords: np.ndarray | None = None,
    point_labels: np.ndarray | None = None,
    box: np.ndarray | None = None,
    *,
    axes: Axes,
) -> Axes:
    """Draw the prompts of `SamPredictor.predict`: numbered clicks, green on the object and red beside it, and a box.

    Args:
        point_coords: `(K, 2)`, pixels of the image, (x, y).
        point_labels: `(K,)` 1 or 0.
        box: `(4,)` x0, y0, x1, y1.
        axes: of the image, such as `show_masks` returns them.

    Returns:
        The axes.

    Raises:
        ValueError: points without labels, or another number of them.
    """
    points = np.zeros((0, 2)) if point_coords is None else np.asarray(point_coords, dtype=float)
    labels = np.zeros(0, dtype=int) if point_labels is None else np.asarray(point_labels)
    if len(points) != len(labels):
        raise ValueError(f"Expected a label for each of {len(points)} points, but got {len(labels)}.")
    corners = None if box is None else np.asarray(box, dtype=float).reshape(-1)
    if corners is not None and corners.shape != (4,):
        raise ValueError(f"Expected `box` (4,), but got {corners.shape}.")
    draw_prompts(
        axes,
        points=[(float(x), float(y)) for x, y in points],
        labels=labels.tolist(),
        box=None if corners is None else (corners[0], corners[1], corners[2], corners[3]),
    )
    return axes


def _stack(masks: Masks) -> np.ndarray:
    """(N, H, W) bool."""
    if isinstance(masks, Tensor):
        masks = masks.numpy(force=True)
    if not isinstance(masks, np.ndarray):
        if not masks:
            raise ValueError("Expected at least one mask to draw, but got none.")
        masks = np.array([record["segmentation"] for record in masks])
    stack = masks[None] if masks.ndim == 2 else masks
    if stack.ndim != 3 or stack.dtype != bool:
        raise ValueError(
            f"Expected `masks` (N, H, W) of bool, or records with masks as arrays, but got {masks.shape} of "
            f"{masks.dtype}."
        )
    return stack


def _colours(keys: Sequence[object]) -> list[tuple[float, float, float]]:
    """A colour for each key; equal keys have equal colours."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys), start=1)}
    return [colour_of(numbers[key]) for key in keys]


def _new_axes(height: int, width: int) -> Axes:
    scale = _SHOWN_INCHES / max(height, width)
    figure = blank_figure(width * scale, height * scale, facecolor="white")
    return figure.add_axes((0.0, 0.0, 1.0, 1.0))


def _draw_legend(axes: Axes, colours: Mapping[str, tuple[float, float, float]]) -> None:
    """The first names in their order, and how many more there are."""
    patches = [Patch(facecolor=colour, label=name) for name, colour in list(colours.items())[:_MOST_NAMES]]
    if (more := len(colours) - _MOST_NAMES) > 0:
        patches.append(Patch(facecolor="none", label=f"and {more} more"))
    axes.legend(handles=patches, loc="upper right", fontsize=8, framealpha=0.85)
