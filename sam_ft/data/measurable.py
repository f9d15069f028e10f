"""What can be measured: images of different names, and objects that have a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from sam_ft.data.splits import SampleDataset
from sam_ft.masks.areas import mask_areas
from sam_ft.types import Batch, Sample


def expect_measurable(samples: SampleDataset) -> None:
    """Refuse samples in memory that cannot be measured, before any work; files are looked at as they are read.

    Args:
        samples: all, or a `Subset` of all; then all are looked at.

    Raises:
        ValueError: two images have one name, or an object has no pixel.
    """
    if isinstance(samples, torch.utils.data.Subset):
        samples = samples.dataset  # type: ignore[assignment]
    if not isinstance(samples, Sequence):
        return
    names: set[str] = set()
    for sample in samples:
        expect_new_name(sample, names)
        expect_pixels(sample)


def expect_new_name(sample: Sample, names: set[str]) -> None:
    """Add the name of an image to those before it.

    Raises:
        ValueError: it is among them.
    """
    if sample.name in names:
        raise ValueError(
            f"Expected images of different names, by which results are told apart, but got two of {sample.name}."
        )
    names.add(sample.name)


def expect_pixels(sample: Sample) -> None:
    """Refuse an image with an object without a pixel.

    Raises:
        ValueError: there is one.
    """
    empty = (mask_areas(sample.masks) == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"Expected every object to have a pixel, but got an empty mask for object {empty[0]} of {sample.name}; "
            "leave empty masks out of the data set."
        )


class MeasurableSamples:
    """A data set of which no object is without a pixel.

    Args:
        samples: The data set.

    Raises:
        ValueError: When a sample is read that has such an object.
    """

    def __init__(self, samples: SampleDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        expect_pixels(sample)
        return sample


class MeasurableBatches:
    """Batches in order, of which no two images have one name.

    Args:
        loader: What gives the batches.

    Raises:
        ValueError: When a batch has an image of a name that there was before.
    """

    def __init__(self, loader: torch.utils.data.DataLoader[Batch]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        names: set[str] = set()
        for batch in self.loader:
            for sample in batch.samples:
                expect_new_name(sample, names)
            yield batch
