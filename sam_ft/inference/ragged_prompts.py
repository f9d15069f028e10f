"""Prompts of many objects on many images, each with as many points as it likes, as one padded `Prompts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sam_ft.inference.resize_longest_side import ResizeLongestSide
from sam_ft.types import ABSENT, Prompts


@dataclass(frozen=True)
class ObjectPrompt:
    """What is asked about one object; pixels of its image, (x, y). At least one of them is given.

    Attributes:
        points: (K, 2).
        labels: (K,) 1 for a point on the object, 0 for one on the background.
        box: (4,) x0, y0, x1, y1.
        mask: (h, w) logits of an earlier answer.
    """

    points: np.ndarray | None = None
    labels: np.ndarray | None = None
    box: np.ndarray | None = None
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.points is None and self.box is None and self.mask is None:
            raise ValueError("Expected points, a box or a mask of each object, but got none.")
        expected = (
            ("points", self.points, (None, 2)),
            ("labels", self.labels, (None if self.points is None else len(self.points),)),
            ("box", self.box, (4,)),
            ("mask", self.mask, (None, None)),
        )
        for name, value, shape in expected:
            if value is not None and not _fits(np.shape(value), shape):
                raise ValueError(f"Expected `{name}` of shape {_in_words(shape)}, but got {np.shape(value)}.")
        if (self.points is None) != (self.labels is None):
            raise ValueError("Expected points and labels together, but got one without the other.")


def padded(
    objects: Sequence[Sequence[ObjectPrompt]], sizes: Sequence[tuple[int, int]], transform: ResizeLongestSide
) -> Prompts:
    """One `Prompts` of B images and as many objects as the image with the most has.

    Args:
        objects: of each image, one at least of one image.
        sizes: (height, width) of each image.
        transform: to the model's frame.

    Returns:
        Prompts whose further objects have nothing and are to be dropped from the answer.
    """
    shape = len(objects), max(map(len, objects))
    flat = [(row, column, each) for row, image in enumerate(objects) for column, each in enumerate(image)]
    most = max((len(each.points) for _, _, each in flat if each.points is not None), default=0)
    points, labels = torch.zeros(*shape, most, 2), torch.full((*shape, most), ABSENT)
    boxes, has_box = torch.zeros(*shape, 4), torch.zeros(shape, dtype=torch.bool)
    sides = next((np.shape(each.mask) for _, _, each in flat if each.mask is not None), (0, 0))
    masks, has_mask = torch.zeros(*shape, *sides), torch.zeros(shape, dtype=torch.bool)
    for row, column, each in flat:
        if each.points is not None and each.labels is not None:
            moved = transform.apply_coords(each.points, sizes[row])
            points[row, column, : len(moved)] = torch.from_numpy(moved)
            labels[row, column, : len(moved)] = torch.as_tensor(each.labels)
        if each.box is not None:
            boxes[row, column] = torch.from_numpy(transform.apply_boxes(each.box, sizes[row])[0])
            has_box[row, column] = True
        if each.mask is not None:
            masks[row, column] = torch.as_tensor(each.mask)
            has_mask[row, column] = True
    return Prompts(
        points=points if most else None,
        labels=labels if most else None,
        boxes=boxes if has_box.any() else None,
        has_box=None if has_box.all() else has_box,
        masks=masks if has_mask.any() else None,
        has_mask=None if has_mask.all() else has_mask,
    )


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (None, length) for length, wanted in zip(shape, expected, strict=True)
    )


def _in_words(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if length is None else str(length) for length in shape)})"
