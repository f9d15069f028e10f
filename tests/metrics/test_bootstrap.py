from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from sam_ft.metrics.bootstrap import (
    Interval,
    clustered_interval,
    draws,
    interval_of_mean_of_ratios,
    interval_or_none,
    resampled_sums,
)


def test_one_value_per_cluster_gives_the_interval_of_scipy() -> None:
    values = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.4
    names = [str(number) for number in range(40)]
    found = clustered_interval(values, names, num_resamples=20_000)
    expected = bootstrap(
        (values.numpy(),), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean().item())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.004)


def test_masks_of_one_image_do_not_count_as_independent() -> None:
    """Every image ten times over: as wide as that of the images themselves, not narrower."""
    values = torch.rand(30, generator=torch.Generator().manual_seed(0))
    names = [str(number) for number in range(30)]
    images = clustered_interval(values, names)
    masks = clustered_interval(values.repeat_interleave(10), [name for name in names for _ in range(10)])
    assert (masks.mean, masks.low, masks.high) == pytest.approx((images.mean, images.low, images.high))
    alone = clustered_interval(values.repeat_interleave(10), [str(number) for number in range(300)])
    assert alone.high - alone.low < 0.5 * (masks.high - masks.low)


def test_the_mean_is_over_the_values_and_not_over_the_clusters() -> None:
    found = clustered_interval(torch.tensor([1.0, 0.0, 0.0, 0.0]), ["a", "b", "b", "b"])
    assert found.mean == 0.25
    assert (found.low, found.high) == (0, 1)  # only a, or only b, may be drawn


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_so() -> None:
    values, names = torch.rand(50, generator=torch.Generator().manual_seed(0)), [str(number) for number in range(50)]
    first, again, other = (clustered_interval(values, names, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=0.01)


def test_a_single_cluster_has_an_interval_without_extent() -> None:
    assert clustered_interval(torch.tensor([0.0, 1.0]), ["a", "a"]) == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize("values, clusters", [([], []), ([1.0], []), ([1.0], ["a", "b"])])
def test_values_without_clusters_are_refused(values: list[float], clusters: list[str]) -> None:
    with pytest.raises(ValueError, match="Expected `values`"):
        clustered_interval(torch.tensor(values), clusters)


def test_as_many_clusters_of_each_stratum_are_drawn_as_there_are() -> None:
    strata = ["a", "b", "a", "b", "b"]
    counts = torch.cat(list(draws(5, strata=strata, num_resamples=50)))
    assert counts.shape == (50, 5)
    assert (counts[:, [0, 2]].sum(dim=1) == 2).all() and (counts[:, [1, 3, 4]].sum(dim=1) == 3).all()
    together = torch.cat(list(draws(5, num_resamples=50)))
    assert (together.sum(dim=1) == 5).all() and not (together[:, [0, 2]].sum(dim=1) == 2).all()


def test_resampled_sums_are_those_of_the_drawn_clusters() -> None:
    values = torch.rand(7, 3, generator=torch.Generator().manual_seed(0))
    counts = torch.cat(list(draws(7, num_resamples=20, seed=3)))
    expected = [[float(sum(n * v for n, v in zip(row, column, strict=True))) for column in values.T] for row in counts]
    ours = resampled_sums(values, num_resamples=20, seed=3)
    torch.testing.assert_close(ours, torch.tensor(expected).double(), rtol=0, atol=1e-5)


def test_fewer_than_ten_clusters_have_no_interval() -> None:
    names = [str(number) for number in range(10)]
    assert interval_or_none(torch.arange(20.0), [*names[:9], *names[:9], "0", "1"]) is None
    assert interval_or_none(torch.arange(10.0), names) == clustered_interval(torch.arange(10.0), names)


def test_a_mean_of_ratios_reaches_farther_where_resamples_lie_away_from_it() -> None:
    resampled = torch.linspace(0.4, 0.6, 201).double()  # 0.5 on average
    assert interval_of_mean_of_ratios(resampled, 0.5).ends == pytest.approx((0.405, 0.595))
    assert interval_of_mean_of_ratios(resampled, 0.55).ends == pytest.approx((0.405, 0.695))
    assert interval_of_mean_of_ratios(resampled, 0.47).ends == pytest.approx((0.345, 0.595))
    without = torch.cat([resampled, torch.tensor([torch.nan])])
    assert interval_of_mean_of_ratios(without, 0.55).ends == pytest.approx((0.405, 0.695))


def test_a_mean_of_ratios_stays_within_what_it_can_be() -> None:
    resampled = torch.linspace(0.9, 1.0, 101).double()  # 0.95 on average
    assert interval_of_mean_of_ratios(resampled, 0.99).ends == (pytest.approx(0.9025), 1.0)
    assert interval_of_mean_of_ratios(1 - resampled, 0.01).ends == (0.0, pytest.approx(0.0975))
    assert interval_of_mean_of_ratios(3 * resampled, 2.97, limits=(1.0, math.inf)).high == pytest.approx(3.2325)
