"""Random square parts of images, so that small objects are large in the model's frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sam_ft.masks.areas import mask_areas
from sam_ft.types import Sample


@dataclass(frozen=True)
class RandomWindow:
    """A square part of an image around one of its objects.

    An object is drawn, then a side, evenly on a logarithmic scale, then a place at which the window shows the whole
    object if it is large enough for that. Objects that the window's border cuts down to less than `least_visible` of
    their area are left out: what is left of them often looks like nothing in particular.

    Attributes:
        sides: shortest and longest side, as shares of the longer side of the image. A window that is longer than the
            image's shorter side ends with the image.
        least_visible: share of an object's area that must be in the window.
    """

    sides: tuple[float, float]
    least_visible: float = 0.6

    def __post_init__(self) -> None:
        sides = tuple(self.sides) if isinstance(self.sides, Sequence) else ()
        are_numbers = all(isinstance(side, (int, float)) and not isinstance(side, bool) for side in sides)
        if len(sides) != 2 or not are_numbers or not 0 < sides[0] <= sides[1] or sides[0] > 1:
            raise ValueError(
                "Expected the sides of windows to be two rising shares of the image in (0, 1], such as [0.2, 0.5], "
                f"but got {self.sides}."
            )
        object.__setattr__(self, "sides", sides)
        if not 0 <= self.least_visible <= 1:
            raise ValueError(f"Expected `least_visible` between 0 and 1, but got {self.least_visible}.")

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        """The part, with the objects that it shows; an image without objects is cut anywhere."""
        height, width = sample.image.shape[:2]
        shortest, longest = self.sides
        side = max(1, round(max(height, width) * math.exp(random.uniform(math.log(shortest), math.log(longest)))))
        rows, columns = (0, height), (0, width)
        if len(sample.masks):
            chosen = sample.masks[int(random.integers(len(sample.masks)))]
            rows, columns = _extent(chosen.any(dim=1)), _extent(chosen.any(dim=0))
        y0, y1 = _interval(side, height, rows, random)
        x0, x1 = _interval(side, width, columns, random)
        masks = sample.masks[:, y0:y1, x0:x1]
        visible, whole = mask_areas(masks), mask_areas(sample.masks)
        kept = ((visible > 0) & (visible >= self.least_visible * whole)).nonzero().flatten()
        return replace(
            sample,
            image=sample.image[y0:y1, x0:x1],
            masks=masks[kept],
            class_names=tuple(sample.class_names[index] for index in kept.tolist()),
            ignored=None if sample.ignored is None else sample.ignored[y0:y1, x0:x1],
        )


def _extent(occupied: Tensor) -> tuple[int, int]:
    """Start and stop of the shortest interval of a line (L,) that holds all that is True; the whole line for none."""
    places = torch.nonzero(occupied).flatten().tolist()
    return (places[0], places[-1] + 1) if places else (0, len(occupied))


def _interval(side: int, length: int, shown: tuple[int, int], random: np.random.Generator) -> tuple[int, int]:
    """Start and stop of a window on one axis, which shows an interval or, if that is longer, a part of it."""
    side = min(side, length)
    first, last = sorted((shown[1] - side, shown[0]))  # the window starts somewhere between
    first, last = max(first, 0), min(last, length - side)
    start = int(random.integers(first, last + 1))
    return start, start + side
