"""`InstanceMaps`: images with instance label maps, wherever both lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from sam_ft.checks import expect_whole_number
from sam_ft.data.folders import read_checked
from sam_ft.data.image_files import read_image
from sam_ft.data.label_maps import masks_of_values, object_values
from sam_ft.data.pixels import Look, PixelRule
from sam_ft.types import Sample, blank_image


@dataclass(frozen=True)
class InstancePair:
    """An image and its label map."""

    name: str  # unique in its data set
    image: Path
    mask: Path


class InstanceMaps:
    """Images and label maps in which 0 is background and every other value one object; files are read when needed.

    Args:
        pairs: In their order.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        **look: How pixels are shown; see `PixelRule`.

    Raises:
        ValueError: A setting that makes no sense.
    """

    def __init__(
        self,
        pairs: Sequence[InstancePair],
        *,
        min_area_px: int = 1,
        class_name: str = "object",
        **look: Unpack[Look],
    ) -> None:
        self.pairs = tuple(pairs)
        self.min_area_px = expect_whole_number("min_area_px", min_area_px, least=1)
        self.class_name = class_name
        self.pixels = PixelRule(**look)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(pair.image for pair in self.pairs)

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those, and those of the labels."""
        return (*self.image_files, *(pair.mask for pair in self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        sample = self.without_image(index)
        return replace(sample, image=torch.from_numpy(read_image(self.pairs[index].image, self.pixels)))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that the file need not be decoded."""
        pair = self.pairs[index]
        labels, values = self.objects_of(pair)
        return Sample(
            image=blank_image(labels.shape[0], labels.shape[1]),
            masks=torch.from_numpy(masks_of_values(labels, values, path=pair.mask)),  # (N, H, W)
            class_names=(self.class_name,) * len(values),
            name=pair.name,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def objects_of(self, pair: InstancePair) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) labels of a pair and the (N,) values of its objects; raises as `read_checked`."""
        labels = read_checked(pair.image, pair.mask)
        return labels, object_values(labels, min_area_px=self.min_area_px)
