"""What data sets of drawn images share: length, seeds, parts; and the smooth noise that they paint with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from sam_ft.data.splits import DataSplits
from sam_ft.types import Sample


class DrawnImages(ABC):
    """Images drawn by a program; sample i follows from (seed, i) alone.

    Args:
        num_images: Length of the data set.
        image_size: Side of the square images in pixels, at least 32.
        seed: Another seed, other images.

    Raises:
        ValueError: A number that is too small.
    """

    def __init__(self, num_images: int, *, image_size: int = 128, seed: int = 0) -> None:
        if num_images < 1 or image_size < 32:
            raise ValueError(
                f"Expected `num_images` of at least 1 and `image_size` of at least 32, but got {num_images} and "
                f"{image_size}."
            )
        self.num_images = num_images
        self.image_size = image_size
        self.seed = seed

    @classmethod
    def splits(cls, num_train: int, *, num_val: int, num_test: int = 0, seed: int = 0, **settings: Any) -> DataSplits:
        """Parts that share no image; `num_test=0` for no test part; `settings` are the data set's own."""
        train, val, test = (
            cls(num_images, seed=seed * 3 + part, **settings) if num_images else None
            for part, num_images in enumerate((num_train, num_val, num_test))
        )
        if train is None or val is None:
            raise ValueError(f"Expected `num_train` and `num_val` of at least 1, but got {num_train} and {num_val}.")
        return DataSplits(train=train, val=val, test=test)

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.num_images:
            raise IndexError(f"Expected an index from 0 to {self.num_images - 1}, but got {index}.")
        return self._draw(np.random.default_rng([self.seed, index]), index)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    @abstractmethod
    def _draw(self, random: np.random.Generator, index: int) -> Sample:
        """One sample, from `random` alone; `index` names it."""


def smooth_noise(random: np.random.Generator, size: int, *, cells: int) -> np.ndarray:
    """(size, size) float32 of about unit variance that varies over a `cells`-th of the image."""
    coarse = random.standard_normal((cells + 2, cells + 2), dtype=np.float32) * 1.3
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
