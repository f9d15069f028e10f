"""How large objects are in a model's frame, and what image size, windows and smallest area suit them.

The side of an object is the root of its area, the side of its image the longer one: their quotient is what matters,
since every image is brought to one frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam_ft.doctor.seen import Seen

SMALL_PX = 16.0
"""Side in the frame below which an object is small: the decoder's masks have a pixel for four of the frame."""
_GOOD_PX = 24.0
_WINDOW_PX = 32.0
"""Side in the frame that the median object shall have in the largest window."""
SIZES = (128, 256, 384, 512, 768, 1024)
SPECK_PX = 9
"""Pixels of the source below which an object is probably a slip of the pen."""


@dataclass(frozen=True)
class ObjectSizes:
    """The sizes of all objects that count.

    Attributes:
        sides: (N,) shares of their images' longer sides.
        areas: (N,) in pixels of the source.
        longest: (I,) longer sides of the images.
        per_image: (I,) objects of each image.
    """

    sides: np.ndarray
    areas: np.ndarray
    longest: np.ndarray
    per_image: np.ndarray

    @property
    def median_side(self) -> float:
        """As a share; NaN without objects."""
        return float(np.median(self.sides)) if len(self.sides) else math.nan


def object_sizes(seen: Sequence[Seen], *, smallest_px: float) -> ObjectSizes:
    """Of all objects of at least so many pixels."""
    labels = [each.label for each in seen if each.label is not None]
    kept = [label.areas[label.areas >= smallest_px] for label in labels]
    sides = [np.sqrt(areas) / label.longest for areas, label in zip(kept, labels, strict=True)]
    return ObjectSizes(
        sides=np.concatenate([*sides, np.zeros(0)]),
        areas=np.concatenate([*kept, np.zeros(0, dtype=np.int64)]),
        longest=np.array([label.longest for label in labels]),
        per_image=np.array([len(areas) for areas in kept]),
    )


def suited_image_size(sizes: ObjectSizes) -> int | None:
    """The smallest frame in which a quarter of the objects at most is below 24 px; no more than twice the images' side.

    None where there are no objects.
    """
    if not len(sizes.sides):
        return None
    largest = 2 * float(np.median(sizes.longest))
    sensible = [size for size in SIZES if size < largest] or [SIZES[0]]
    beyond = [size for size in SIZES if size >= largest]
    candidates = [*sensible, *beyond[:1]]
    quarter = float(np.quantile(sizes.sides, 0.25))
    return next((size for size in candidates if quarter * size >= _GOOD_PX), candidates[-1])


def suited_windows(sizes: ObjectSizes, *, image_size: int) -> tuple[float, float] | None:
    """Sides of random parts of the images in which small objects are large; None where objects are not small."""
    if not len(sizes.sides) or sizes.median_side * image_size >= SMALL_PX:
        return None
    longest = min(max(sizes.median_side * image_size / _WINDOW_PX, 0.1), 1.0)
    return round(longest / 2, 2), round(longest, 2)


def specks(sizes: ObjectSizes) -> np.ndarray:
    """Which objects are specks: fewer than 9 pixels, and less than a twentieth of the median object."""
    if not len(sizes.areas):
        return np.zeros(0, dtype=bool)
    return (sizes.areas < SPECK_PX) & (sizes.areas < 0.05 * np.median(sizes.areas))
