"""Rare classes: their images are drawn more often, and in an image their objects are kept first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sam_ft.checks import expect_number


@dataclass(frozen=True)
class ClassBalance:
    """How much more often images with a rare class are drawn.

    A class c that is in a share f(c) of the images is repeated r(c) = (rare_below / f(c)) ** power times, at least once
    and at most `most` times; an image as often as the class that asks for most, r(i) = max r(c), and one without
    objects once. With power 1/2 this is the repeat factor sampling of LVIS. Source: Gupta et al., "LVIS: A Dataset for
    Large Vocabulary Instance Segmentation" (2019), appendix B.2, where `rare_below` is 0.001 and there is no cap.

    Attributes:
        power: 0.5 for the square root; 1: all rare classes are drawn as often as a class in `rare_below` of the
            images.
        rare_below: A class in a smaller share of the images is rare.
        most: Images are drawn at most so often.

    Raises:
        ValueError: A number out of range.
    """

    power: float = 0.5
    rare_below: float = 0.1
    most: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("power", 0), ("rare_below", 0), ("most", 1)):
            expect_number(name, getattr(self, name), least=least)
        if self.rare_below > 1 or not np.isfinite([self.power, self.most]).all():
            raise ValueError(f"Expected `rare_below` of at most 1, and finite numbers, but got {self}.")

    def class_repeats(self, shares: Mapping[str, float]) -> dict[str, float]:
        """Class -> r(c), of the share of the images that each class is in."""
        return {
            name: float(np.clip((self.rare_below / share) ** self.power, 1, self.most))
            for name, share in shares.items()
            if share > 0
        }


def class_shares(images: Sequence[Sequence[str]], *, weights: np.ndarray | None = None) -> dict[str, float]:
    """The share of the images that each class is in: f(c), by name.

    Args:
        images: The classes in each image.
        weights: (N,) how often each image is drawn, relative to the others; None: all alike.
    """
    weights = np.ones(len(images)) if weights is None else weights
    shares: dict[str, float] = {}
    for names, weight in zip(images, weights.tolist(), strict=True):
        for name in set(names):
            shares[name] = shares.get(name, 0.0) + weight
    return {name: shares[name] / float(weights.sum()) for name in sorted(shares)}


def image_repeats(images: Sequence[Sequence[str]], class_repeats: Mapping[str, float]) -> np.ndarray:
    """(N,) float64 r(i): how often each image is drawn, of the classes in each."""
    return np.array([max((class_repeats[name] for name in names), default=1.0) for names in images], dtype=np.float64)
