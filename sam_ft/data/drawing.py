"""How training draws from a data set: everything, sets of a mixture by weight, images with rare classes more often."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import DataLoader, Dataset

from sam_ft.data.balance import ClassBalance, class_shares, image_repeats
from sam_ft.data.classes import classes_in
from sam_ft.data.draws import Draws, EverySample, Stock, StockDraws
from sam_ft.data.embedding_cache.progress import progress
from sam_ft.data.mixture import MixtureSamples
from sam_ft.data.splits import SampleDataset

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawing:
    """What training draws, and which objects it would rather keep.

    Attributes:
        draws: Of every epoch.
        class_repeats: How much more often each class is drawn; empty without a balance.
    """

    draws: Draws
    class_repeats: Mapping[str, float] = field(default_factory=dict)


def drawing_of(samples: SampleDataset, *, balance: ClassBalance | None = None, num_workers: int = 0) -> Drawing:
    """How training draws from a data set.

    An epoch is as long with a balance as without. In a mixture every set has its draws, and the balance decides which
    of its images they are; how rare a class is follows from all sets, as often as they are drawn from.

    Args:
        samples: A mixture or another data set.
        balance: None: images are drawn alike.
        num_workers: Processes that look at the objects of every sample, where there is a balance.
    """
    sets = _sets_of(samples)
    if balance is None:
        alike = np.ones(len(samples))
        draws = _stock_draws(sets, alike) if isinstance(samples, MixtureSamples) else EverySample(len(samples))
        return Drawing(draws)
    images = _classes_of_images(samples, num_workers=num_workers)
    weights = np.concatenate([np.full(size, num_draws / size) for size, num_draws in sets])
    shares = class_shares(images, weights=weights)
    class_repeats = balance.class_repeats(shares)
    rare = {name: repeats for name, repeats in class_repeats.items() if repeats > 1}
    _logger.info(
        "Class balance: %s.",
        ", ".join(f"{name} ({100 * shares[name]:.2g} % of draws) x {rare[name]:.3g}" for name in rare)
        or f"no class is in less than {100 * balance.rare_below:g} % of the draws",
    )
    return Drawing(_stock_draws(sets, image_repeats(images, class_repeats)), class_repeats)


def _sets_of(samples: SampleDataset) -> list[tuple[int, int]]:
    """(samples, draws of an epoch) of each set."""
    if not isinstance(samples, MixtureSamples):
        return [(len(samples), len(samples))]
    return [
        (len(part.samples), len(part.samples) if part.num_draws is None else part.num_draws)
        for part in samples.sets.values()
    ]


def _stock_draws(sets: list[tuple[int, int]], repeats: np.ndarray) -> StockDraws:
    stocks, first = [], 0
    for size, num_draws in sets:
        stocks.append(Stock(first, repeats[first : first + size], num_draws))
        first += size
    return StockDraws(stocks, num_samples=first)


class _Classes(Dataset[tuple[str, ...]]):
    """The classes in each sample."""

    def __init__(self, samples: SampleDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[str, ...]:
        return tuple(sorted(set(classes_in(self.samples, index))))


def _classes_of_images(samples: SampleDataset, *, num_workers: int) -> list[tuple[str, ...]]:
    reader = DataLoader(_Classes(samples), batch_size=None, num_workers=num_workers)
    with progress(len(samples), "classes of images") as bar:
        found = []
        for names in reader:
            found.append(tuple(names))
            bar.update()
    return found
