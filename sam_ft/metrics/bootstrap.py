"""How far a mean may be off: the bootstrap, which asks what other images of the same kind would have given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_CLUSTERS = 10
"""With fewer images or volumes an interval is too narrow: the few stand for all others."""

NUM_RESAMPLES = 2000
_NUMBERS_AT_ONCE = 1 << 23
"""So many numbers of drawn clusters are held at once."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie."""

    mean: float
    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float]:
        """Without the mean."""
        return self.low, self.high


def ends_of(intervals: Mapping[str, Interval]) -> dict[str, tuple[float, float]]:
    """From names of figures to the ends of their intervals, as summaries have them."""
    return {name: interval.ends for name, interval in intervals.items()}


def draws(
    num_clusters: int, *, strata: Sequence[str] | None = None, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Iterator[Tensor]:
    """How often each cluster is drawn in each resample, with replacement.

    Args:
        num_clusters: C.
        strata: C names; as many clusters of each name are drawn as there are. None: of all together.
        num_resamples: R.
        seed: another seed, other draws.

    Yields:
        Portions (r, C) float64 of R rows, so that not all have to be held at once.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = [torch.arange(num_clusters)]
    if strata is not None:
        places: dict[str, list[int]] = {}
        for place, name in enumerate(strata):
            places.setdefault(name, []).append(place)
        groups = [torch.tensor(members) for members in places.values()]
    at_once = max(1, _NUMBERS_AT_ONCE // max(num_clusters, 1))
    for first in range(0, num_resamples, at_once):
        counts = torch.zeros(min(at_once, num_resamples - first), num_clusters, dtype=torch.float64)
        for members in groups:
            drawn = torch.randint(len(members), (len(counts), len(members)), generator=generator)
            counts.scatter_add_(1, members[drawn], torch.ones((), dtype=torch.float64).expand(drawn.shape))
        yield counts


def resampled_sums(
    values: Tensor, *, strata: Sequence[str] | None = None, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Tensor:
    """The sums over the drawn clusters, from which any figure follows that is made of sums.

    Args:
        values: `(C, F)`, F numbers of each cluster, such as the sum of its IoUs and their count.
        strata: as in `draws`; so `num_resamples` and `seed`.
        num_resamples: R.
        seed: as there.

    Returns:
        `(R, F)` float64.
    """
    values = values.double().cpu()
    portions = draws(len(values), strata=strata, num_resamples=num_resamples, seed=seed)
    return torch.cat([counts @ values for counts in portions])


def percentile_interval(resampled: Tensor, mean: float, *, level: float = 0.95) -> Interval:
    """The interval that holds the middle of the resampled figures.

    Args:
        resampled: `(R,)`; NaN where a resample has no such figure, which does not count.
        mean: the figure itself.
        level: the share of the figures inside the interval.
    """
    tail = (1 - level) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
    low, high = torch.quantile(resampled[~resampled.isnan()].double(), ends).tolist()
    return Interval(mean=mean, low=low, high=high)


def interval_of_mean_of_ratios(resampled: Tensor, mean: float, *, limits: tuple[float, float] = (0.0, 1.0)) -> Interval:
    """`percentile_interval` of a mean over classes of sums divided by sums, which errs to one side if few images do.

    Where large objects are found better than small ones, the IoU of a class over few images is too low on average, and
    the mean over many classes does not lessen that, but its spread. Resamples tell by how much, since they are off from
    the figure as the figure is from the truth. So the end on the far side is moved by twice as much.

    Args:
        resampled: as there.
        mean: as there.
        limits: what such a figure can be at least and at most.

    Source: Efron and Tibshirani 1993, chapter 10 (the bootstrap estimate of bias).
    """
    interval, off = percentile_interval(resampled, mean), float(resampled.double().nanmean()) - mean
    low, high = interval.low - max(2 * off, 0.0), interval.high - min(2 * off, 0.0)
    return Interval(mean=mean, low=max(low, limits[0]), high=min(high, limits[1]))


def clustered_interval(
    values: Tensor, clusters: Sequence[str], *, level: float = 0.95, num_resamples: int = NUM_RESAMPLES, seed: int = 0
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
    totals = cluster_totals(values, [places[name] for name in clusters], num_clusters=len(places))
    sums, counts = resampled_sums(totals, num_resamples=num_resamples, seed=seed).unbind(dim=1)  # (R,)
    return percentile_interval(sums / counts, float(values.double().mean()), level=level)


def cluster_totals(values: Tensor, places: Sequence[int], *, num_clusters: int) -> Tensor:
    """The sum of the values of each cluster and how many there are: (K,) and K places -> (C, 2) float64."""
    index, values = torch.tensor(places, dtype=torch.int64), values.double().cpu()
    totals = [torch.bincount(index, weights=each, minlength=num_clusters) for each in (values, torch.ones_like(values))]
    return torch.stack(totals, dim=1)


def interval_or_none(values: Tensor, clusters: Sequence[str]) -> Interval | None:
    """`clustered_interval`, or None for fewer than `LEAST_CLUSTERS` clusters."""
    return clustered_interval(values, clusters) if len(set(clusters)) >= LEAST_CLUSTERS else None
