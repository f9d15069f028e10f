"""How a simulated person's box misses the object: one class for each way that the field has published.

Figures in pixels hold for an image of 1024 pixels a side and scale with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

REFERENCE_SIZE = 1024
"""The image size at which the papers' figures in pixels hold."""


class BoxNoise(Protocol):
    """A random displacement of each of a box's coordinates."""

    def displacement(self, sizes: Tensor, *, pixel: float, generator: torch.Generator) -> Tensor:
        """Draw.

        Args:
            sizes: (..., 2), width and height of each box in pixels of the frame.
            pixel: side of a pixel of a 1024 px image, in pixels of the frame.
            generator: the source of randomness.

        Returns:
            (..., 4), to be added to x0, y0, x1, y1.
        """


@dataclass(frozen=True)
class GaussianNoise:
    """Each coordinate by itself, with a deviation in proportion to the side (SAM, appendix A).

    The cap is on the sample, as in SAM 3's code.

    Attributes:
        deviation: standard deviation as a share of the box's width (for x) or height (for y).
        cap_px: largest displacement.
    """

    deviation: float = 0.1
    cap_px: float = 20.0

    def displacement(self, sizes: Tensor, *, pixel: float, generator: torch.Generator) -> Tensor:
        """See `BoxNoise.displacement`."""
        sides = _for_each_coordinate(sizes)
        draw = torch.randn(sides.shape, generator=generator, device=generator.device).to(sides.device)
        return (draw * self.deviation * sides).clamp(-self.cap_px * pixel, self.cap_px * pixel)


@dataclass(frozen=True)
class UniformNoise:
    """Each coordinate by itself, evenly to both sides (SAM 2's code, modeling/sam2_utils.py).

    Attributes:
        share: largest displacement as a share of the box's width (for x) or height (for y).
        cap_px: largest displacement.
    """

    share: float = 0.1
    cap_px: float = 20.0

    def displacement(self, sizes: Tensor, *, pixel: float, generator: torch.Generator) -> Tensor:
        """See `BoxNoise.displacement`."""
        most = (self.share * _for_each_coordinate(sizes)).clamp(max=self.cap_px * pixel)
        return most * (2 * _uniform(most.shape, most, generator) - 1)


@dataclass(frozen=True)
class OutwardNoise:
    """Each edge by itself and only away from the object, evenly (MedSAM's and micro-sam's code).

    Attributes:
        share: largest displacement as a share of the box's width (for x) or height (for y); None: no such bound.
        cap_px: largest displacement; None: no such bound.

    Raises:
        ValueError: Neither bound is given.
    """

    share: float | None = None
    cap_px: float | None = 20.0

    def __post_init__(self) -> None:
        if self.share is None and self.cap_px is None:
            raise ValueError("Expected `share` or `cap_px`, or both, but got None for either.")

    def displacement(self, sizes: Tensor, *, pixel: float, generator: torch.Generator) -> Tensor:
        """See `BoxNoise.displacement`."""
        sides = _for_each_coordinate(sizes)
        most = torch.full_like(sides, float("inf")) if self.share is None else self.share * sides
        if self.cap_px is not None:
            most = most.clamp(max=self.cap_px * pixel)
        outward = most.new_tensor([-1.0, -1.0, 1.0, 1.0])
        return outward * most * _uniform(most.shape, most, generator)


@dataclass(frozen=True)
class ShiftNoise:
    """The box as a whole, by as much in x as the draw says and by another draw in y (SAM-Med2D's code).

    Attributes:
        share: largest displacement as a share of the box's shorter side.
        cap_px: largest displacement.
    """

    share: float = 0.5
    cap_px: float = 20.0

    def displacement(self, sizes: Tensor, *, pixel: float, generator: torch.Generator) -> Tensor:
        """See `BoxNoise.displacement`."""
        most = (self.share * sizes.amin(dim=-1, keepdim=True)).clamp(max=self.cap_px * pixel)  # (..., 1)
        return _for_each_coordinate(most * (2 * _uniform(sizes.shape, sizes, generator) - 1))


def jittered_box(
    boxes_xyxy: Tensor,
    noise: BoxNoise,
    *,
    image_size: int,
    generator: torch.Generator,
    limits_xyxy: Tensor | None = None,
) -> Tensor:
    """Each box displaced, and kept inside the image.

    A box that the noise turns inside out, or makes empty, falls back to the clean one, as in SAM 3's code. That of an
    object one pixel thick has no width to begin with, since both its corners are pixels of the object: it moves along.

    Args:
        boxes_xyxy: (..., 4) in pixels of the frame.
        noise: how it is displaced.
        image_size: side of the frame.
        generator: the source of randomness.
        limits_xyxy: the first and last pixel of the image without its padding, of a shape that expands to that of the
            boxes; None: the whole frame.

    Returns:
        (..., 4).
    """
    if limits_xyxy is None:
        limits_xyxy = boxes_xyxy.new_tensor([0, 0, image_size - 1, image_size - 1])
    sizes = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    moved = boxes_xyxy + noise.displacement(sizes, pixel=image_size / REFERENCE_SIZE, generator=generator)
    moved = moved.clamp(_for_each_coordinate(limits_xyxy[..., :2]), _for_each_coordinate(limits_xyxy[..., 2:]))
    degenerate = ((moved[..., 2:] <= moved[..., :2]) & (sizes > 0)).any(dim=-1, keepdim=True)
    return torch.where(degenerate, boxes_xyxy, moved)


def _for_each_coordinate(pairs: Tensor) -> Tensor:
    """(..., 2) for x and y -> (..., 4) for x0, y0, x1, y1."""
    return torch.cat([pairs, pairs], dim=-1)


def _uniform(shape: torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers from 0 to 1, on the device of another tensor."""
    return torch.rand(shape, generator=generator, device=generator.device).to(like.device)
