from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from sam_ft.data.draws import EverySample, Stock, StockDraws, apportioned
from sam_ft.data.order import EpochOrder

ALIKE = np.ones(5)


def two_sets(first: int = 8, second: int = 4) -> StockDraws:
    """5 samples and 3 samples."""
    return StockDraws([Stock(0, ALIKE, first), Stock(5, np.ones(3), second)], num_samples=8)


def items(drawn: np.ndarray, num_samples: int = 8) -> list[int]:
    return (drawn % num_samples).tolist()


def test_every_sample_is_drawn_once_in_an_order_of_its_own() -> None:
    epochs = [EverySample(6)(epoch, seed=3) for epoch in range(4)]
    assert all(sorted(epoch - 6 * number) == list(range(6)) for number, epoch in enumerate(epochs))
    assert len({tuple(items(epoch, 6)) for epoch in epochs}) > 1


def test_the_order_of_every_sample_is_what_it_always_was() -> None:
    """np.random.default_rng([3, 2]).permutation(6)."""
    assert items(EverySample(6)(2, seed=3), 6) == np.random.default_rng([3, 2]).permutation(6).tolist()


def test_every_epoch_has_the_same_number_of_draws_of_a_set() -> None:
    draws = two_sets()
    for epoch in range(20):
        drawn = items(draws(epoch, seed=0))
        assert len(drawn) == len(draws) == 12
        assert sum(item < 5 for item in drawn) == 8


def test_no_sample_is_drawn_again_before_all_others_of_its_set() -> None:
    draws = two_sets()
    for until in range(1, 30):
        seen = Counter(item for epoch in range(until) for item in items(draws(epoch, seed=7)))
        for members in (range(5), range(5, 8)):
            counts = [seen[item] for item in members]
            assert max(counts) - min(counts) <= 1


def test_no_draw_comes_twice_in_a_training() -> None:
    repeats = np.array([1.0, 3.4, 1.2, 9.7, 1.0])
    draws = StockDraws([Stock(0, repeats, 11), Stock(5, np.ones(3), 7)], num_samples=8)
    drawn = np.concatenate([draws(epoch, seed=0) for epoch in range(200)])
    assert len(np.unique(drawn)) == len(drawn) == 200 * 18 and drawn.min() >= 0


def test_draws_follow_from_seed_and_epoch_alone() -> None:
    first, again = two_sets(), two_sets()
    epochs = [first(epoch, seed=5) for epoch in range(9)]
    assert all(np.array_equal(again(epoch, seed=5), epochs[epoch]) for epoch in reversed(range(9)))
    assert any(not np.array_equal(first(0, seed=5), first(0, seed=seed)) for seed in (6, 7))
    assert all(not np.array_equal(one, other) for one, other in pairwise(epochs))


def test_sets_are_mixed_within_an_epoch() -> None:
    drawn = items(StockDraws([Stock(0, ALIKE, 50), Stock(5, np.ones(3), 50)], num_samples=8)(0, seed=0))
    assert 10 < sum(item < 5 for item in drawn[:50]) < 40


def test_samples_are_drawn_in_proportion_to_their_repeats() -> None:
    repeats = np.array([1.0, 1.0, 2.5, 4.0, 1.3])
    draws = StockDraws([Stock(0, repeats, 100)], num_samples=5)
    counts = np.bincount(np.concatenate([draws(epoch, seed=1) for epoch in range(200)]) % 5)
    assert counts / counts.sum() == pytest.approx(repeats / repeats.sum(), rel=0.02)


def test_a_pass_has_one_of_the_whole_numbers_around_the_repeats_of_each_sample() -> None:
    repeats = np.array([1.0, 2.0, 2.5, 4.25, 1.25])
    stock = Stock(0, repeats, 1)
    assert stock.pass_length == 11
    for number in range(300):
        counts = np.bincount(stock.of_pass(number, num_samples=5, seed=[0, 0]) % 5, minlength=5)
        assert (counts >= np.floor(repeats)).all() and (counts <= np.ceil(repeats)).all() and counts.sum() == 11


def test_copies_of_a_sample_in_a_pass_see_different_views() -> None:
    stock = Stock(0, np.array([1.0, 4.0]), 5)
    rounds = stock.of_pass(0, num_samples=2, seed=[0, 0]) // 2
    items_drawn = stock.of_pass(0, num_samples=2, seed=[0, 0]) % 2
    for views in (2, 4, 5, 8):
        assert len(set((rounds[items_drawn == 1] % views).tolist())) == min(4, views)


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_ranks_get_disjoint_parts_of_equal_length(replicas: int) -> None:
    draws = two_sets(9, 5)
    orders = [EpochOrder(draws, seed=4, num_replicas=replicas, rank=rank) for rank in range(replicas)]
    for epoch in range(5):
        for order in orders:
            order.set_epoch(epoch)
        parts = [list(order) for order in orders]
        assert {len(part) for part in parts} == {len(order) for order in orders} == {14 // replicas}
        together = [draw for part in parts for draw in part]
        assert len(set(together)) == len(together) and set(together) <= set(draws(epoch, seed=4).tolist())


def test_an_epoch_that_is_gone_on_with_has_the_rest_of_the_draws_once() -> None:
    whole, resumed = EpochOrder(two_sets(), seed=2), EpochOrder(two_sets(), seed=2)
    for order in (whole, resumed):
        order.set_epoch(3)
    resumed.skip = 5
    assert list(resumed) == list(whole)[5:]
    assert list(resumed) == list(whole)  # the epoch after it is whole again


@pytest.mark.parametrize("draws, replicas, rank", [(EverySample(2), 3, 0), (EverySample(4), 2, 2)])
def test_too_few_draws_and_ranks_out_of_range_are_refused(draws: EverySample, replicas: int, rank: int) -> None:
    with pytest.raises(ValueError, match="at least one sample per replica"):
        EpochOrder(draws, num_replicas=replicas, rank=rank)


@pytest.mark.parametrize(
    "weights, total, expected",
    [
        ([1, 1], 10, [5, 5]),
        ([1, 3], 10, [3, 7]),  # 2.5 and 7.5: the first one is rounded up
        ([2, 1, 1], 7, [3, 2, 2]),  # 3.5, 1.75, 1.75: the largest remainders
        ([0, 5], 3, [0, 3]),
        ([1e-9, 1], 100, [0, 100]),
        ([7], 4, [4]),
    ],
)
def test_whole_numbers_are_apportioned_by_the_largest_remainder(
    weights: list[float], total: int, expected: list[int]
) -> None:
    assert apportioned(weights, total) == expected


@pytest.mark.parametrize("weights", [[], [0, 0], [-1, 2], [float("nan"), 1], [float("inf"), 1]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights of 0 and above"):
        apportioned(weights, 10)


@pytest.mark.parametrize("repeats, num_draws", [([], 1), ([1.0], 0), ([0.5], 1), ([float("nan")], 1)])
def test_a_stock_out_of_range_is_refused(repeats: list[float], num_draws: int) -> None:
    with pytest.raises(ValueError):
        Stock(0, np.array(repeats), num_draws)
