"""How far a mean may be off: the bootstrap, which asks what other images of the same kind would have given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie."""

    mean: float
    low: float
    high: float


def clustered_interval(
    values: Tensor, clusters: Sequence[str], *, level: float = 0.95, num_resamples: int = 2000, seed: int = 0
) -> Interval:
    """The mean of values and its percentile bootstrap interval, with whole clusters drawn.

    The masks of one image are alike, so that they do not count as independent: images are drawn with replacement, each
    with all its masks, and the mean is taken over the drawn masks. Of differences between two models on the same masks
    this gives a paired comparison.

    Args:
        values: `(K,)`.
        clusters: K names; equal ones belong together.
        level: the share of the resampled means inside the interval.
        num_resamples: how often to draw.
        seed: another seed, other draws; the interval moves by little.

    Returns:
        The interval; of a single cluster it has no extent, which says nothing.

    Raises:
        ValueError: there are no values, or not one cluster for each.

    Source: Efron and Tibshirani 1993, chapter 13 (percentile interval); Field and Welsh 2007 (clusters).
    """
    if values.ndim != 1 or len(values) == 0 or len(values) != len(clusters):
        raise ValueError(
            f"Expected `values` (K,) with a cluster for each, but got {tuple(values.shape)} and {len(clusters)} names."
        )
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    index = torch.tensor([places[name] for name in clusters])
    values = values.double().cpu()
    sums, counts = (torch.bincount(index, weights=each) for each in (values, torch.ones_like(values)))  # (C,)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(places), (num_resamples, len(places)), generator=generator)  # (R, C)
    means = sums[drawn].sum(dim=1) / counts[drawn].sum(dim=1)  # (R,)
    tail = (1 - level) / 2
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(mean=float(values.mean()), low=low, high=high)
