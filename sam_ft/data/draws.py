"""Which samples an epoch draws: each of a data set once, or some of each of several sets, rare ones more often.

A draw is the number `round * num_samples + index` of a sample and of the round in which it is drawn, as
`PreparedSamples` takes it. No draw ever comes twice in a training, so that no two have the same randomness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

_COPIES_APART = 1_000_003
"""Rounds between two draws of a sample in one pass; odd, so that they see different views of an embedding cache."""
_OF_A_PASS, _OF_AN_EPOCH = 1, 2  # streams of random numbers


class Draws(Protocol):
    """What `EpochOrder` visits."""

    def __len__(self) -> int:
        """How many draws an epoch has; each has as many."""
        ...

    def __call__(self, epoch: int, *, seed: int) -> np.ndarray:
        """(L,) int64: the draws of an epoch in their order, which follow from (seed, epoch) alone."""
        ...


@dataclass(frozen=True)
class EverySample:
    """Each of `num_samples` samples once in every epoch, in a new order; the round is the epoch."""

    num_samples: int

    def __len__(self) -> int:
        return self.num_samples

    def __call__(self, epoch: int, *, seed: int) -> np.ndarray:
        """The draws of an epoch."""
        order = np.random.default_rng([seed, epoch]).permutation(self.num_samples)
        return order + epoch * self.num_samples


@dataclass(frozen=True, eq=False)
class Stock:
    """The samples of one set, of which every epoch draws the same number.

    Passes through the set come one after another, each in a new order; an epoch goes on in the pass where the one
    before has stopped. So no sample is drawn a second time before all others have been drawn.

    Attributes:
        first: Index of the set's first sample; the others follow it.
        repeats: (n,) float64 from 1: how often each sample is drawn in a pass, on average. In a pass it is one of the
            two whole numbers around that. All are raised a little, so that they sum to a whole number.
        num_draws: Of an epoch.

    Raises:
        ValueError: No samples, repeats below 1 or not finite, or no draws.
    """

    first: int
    repeats: np.ndarray
    num_draws: int
    pass_length: int = field(init=False)

    def __post_init__(self) -> None:
        if self.num_draws < 1 or not len(self.repeats):
            raise ValueError(
                f"Expected samples, and at least one draw of them in an epoch, but got {len(self.repeats)} and "
                f"{self.num_draws}."
            )
        if not (np.isfinite(self.repeats).all() and (self.repeats >= 1).all()):
            raise ValueError(f"Expected `repeats` of 1 or more, but got {self.repeats.min()}.")
        object.__setattr__(self, "pass_length", math.ceil(self.repeats.sum() - 1e-9))

    def of_pass(self, number: int, *, num_samples: int, seed: Sequence[int]) -> np.ndarray:
        """(pass_length,) int64: the draws of one pass.

        Each sample's number of copies is drawn by systematic sampling, so that it is right on average and all
        together are always `pass_length`.
        """
        random = np.random.default_rng([*seed, number, _OF_A_PASS])
        order = random.permutation(len(self.repeats))
        until = np.cumsum(self.repeats[order])
        ends = np.floor(until * (self.pass_length / until[-1]) + random.random()).astype(np.int64)
        ends[-1] = self.pass_length
        starts = np.concatenate([[0], ends[:-1]])
        copies = np.arange(self.pass_length) - np.repeat(starts, ends - starts)  # 0, 1, ... of each sample
        drawn = np.repeat(self.first + order, ends - starts)
        return random.permutation((number + copies * _COPIES_APART) * num_samples + drawn)


@dataclass(frozen=True, eq=False)
class StockDraws:
    """A number of draws out of each of some stocks, mixed anew in every epoch.

    Attributes:
        stocks: The sets.
        num_samples: Of all sets together.
    """

    stocks: Sequence[Stock]
    num_samples: int

    def __len__(self) -> int:
        return sum(stock.num_draws for stock in self.stocks)

    def __call__(self, epoch: int, *, seed: int) -> np.ndarray:
        """The draws of an epoch."""
        parts = [self._of_stock(number, epoch, seed) for number in range(len(self.stocks))]
        return np.random.default_rng([seed, 0, epoch, _OF_AN_EPOCH]).permutation(np.concatenate(parts))

    def _of_stock(self, number: int, epoch: int, seed: int) -> np.ndarray:
        stock = self.stocks[number]
        start = epoch * stock.num_draws
        first, last = start // stock.pass_length, (start + stock.num_draws - 1) // stock.pass_length
        passes = [
            stock.of_pass(turn, num_samples=self.num_samples, seed=[seed, number]) for turn in range(first, last + 1)
        ]
        skipped = start - first * stock.pass_length
        return np.concatenate(passes)[skipped : skipped + stock.num_draws]


def apportioned(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to weights that sum to `total`, by the largest remainder; equal ones go first.

    Raises:
        ValueError: A weight that is negative or not finite, or none above 0.
    """
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights) > 0:
        raise ValueError(f"Expected weights of 0 and above, one of them above 0, but got {list(weights)}.")
    exact = [weight * total / sum(weights) for weight in weights]
    counts = [math.floor(each) for each in exact]
    by_remainder = sorted(range(len(weights)), key=lambda place: (counts[place] - exact[place], place))
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return counts
