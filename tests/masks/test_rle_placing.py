from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam_ft.masks.rle import RunLengths, decode, encode
from sam_ft.masks.rle_placing import placed, stacked, taken

STACKS = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays(np.bool_, shape)
)


def same(ours: RunLengths, expected: RunLengths) -> bool:
    return (
        ours.size == expected.size
        and np.array_equal(ours.counts, expected.counts)
        and np.array_equal(ours.splits, expected.splits)
    )


@settings(max_examples=300, deadline=None)
@given(STACKS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_a_placed_part_is_the_padded_mask(masks: np.ndarray, left: int, right: int, top: int, bottom: int) -> None:
    padded = np.pad(masks, ((0, 0), (top, bottom), (left, right)))
    assert same(placed(encode(masks), at=(left, top), size=padded.shape[1:]), encode(padded))


@pytest.mark.parametrize(("at", "size"), [((1, 0), (4, 5)), ((0, 1), (4, 5)), ((-1, 0), (9, 9)), ((0, 0), (3, 5))])
def test_a_part_that_does_not_fit_is_refused(at: tuple[int, int], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="Expected a part"):
        placed(encode(np.ones((4, 5), dtype=bool)), at=at, size=size)


@settings(max_examples=50, deadline=None)
@given(STACKS, st.randoms())
def test_taken_and_stacked_are_those_of_the_masks(masks: np.ndarray, random: object) -> None:
    indices = np.array([random.randrange(len(masks)) for _ in range(5)])  # type: ignore[attr-defined]
    assert same(taken(encode(masks), indices), encode(masks[indices]))
    assert same(
        stacked([encode(masks), encode(masks[indices])], size=masks.shape[1:]), encode(np.r_[masks, masks[indices]])
    )
    assert decode(taken(encode(masks), indices[:0])).shape == (0, *masks.shape[1:])
    assert len(stacked([], size=(3, 4))) == 0
