"""Which samples and objects a page shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sam_ft.data.splits import SampleDataset
from sam_ft.types import Sample


@dataclass(frozen=True)
class ShownCase:
    """An object that the pages show: one sample of a data set and one of its objects."""

    sample: Sample
    object_index: int


def spread_evenly(count: int, length: int) -> list[int]:
    """Indices into something of a length, as far from each other and from its ends as possible; at most all."""
    count = min(count, length)
    return [(2 * turn + 1) * length // (2 * count) for turn in range(count)]


def spread_over(samples: SampleDataset, count: int) -> SampleDataset:
    """At most `count` samples of a data set, spread evenly over it; read when they are needed."""
    return torch.utils.data.Subset(samples, spread_evenly(count, len(samples)))  # type: ignore[arg-type]


def cases_to_show(samples: SampleDataset, count: int) -> list[ShownCase]:
    """Objects spread evenly over a data set, of changing classes and the largest of their class in their image."""
    cases = []
    for turn, index in enumerate(spread_evenly(count, len(samples))):
        sample = samples[index]
        names = sorted(set(sample.class_names))
        if names:
            name = names[turn % len(names)]
            areas = [
                int(mask.sum()) * (own == name) for mask, own in zip(sample.masks, sample.class_names, strict=True)
            ]
            cases.append(ShownCase(sample=sample, object_index=areas.index(max(areas))))
    return cases
