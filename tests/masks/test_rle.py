from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam_ft.masks.rle import RunLengths, areas, boxes_xywh, decode, encode, union
from sam_ft.masks.rle_coco import to_coco

pycocotools = pytest.importorskip("pycocotools.mask", reason="the reference (extra data)")


def stacks(least_masks: int = 0) -> st.SearchStrategy[np.ndarray]:
    """(N, H, W) bool with long runs as well as noise, single rows and columns among them."""
    shape = st.tuples(st.integers(least_masks, 4), st.integers(1, 9), st.integers(1, 9))
    noise = shape.flatmap(lambda size: hnp.arrays(np.bool_, size))
    return st.one_of(noise, noise.map(np.logical_and.accumulate), noise.map(lambda masks: masks | masks[..., :1]))


def of(masks: np.ndarray) -> list[dict[str, object]]:
    """What the reference makes of them."""
    return pycocotools.encode(np.asfortranarray(masks.transpose(1, 2, 0)).view(np.uint8))


def runs(*counts: int, size: tuple[int, int]) -> RunLengths:
    return RunLengths(size, np.array(counts), np.array([0, len(counts)]))


@pytest.mark.reference
@given(masks=stacks())
def test_stacks_are_encoded_as_pycocotools_does_and_come_back(masks: np.ndarray) -> None:
    run_lengths = encode(masks)
    assert [each["counts"].encode() for each in to_coco(run_lengths)] == [each["counts"] for each in of(masks)]
    assert np.array_equal(decode(run_lengths), masks)


@pytest.mark.reference
@given(masks=stacks(least_masks=1))
def test_areas_and_boxes_are_those_of_pycocotools(masks: np.ndarray) -> None:
    run_lengths = encode(masks)
    assert np.array_equal(areas(run_lengths), pycocotools.area(of(masks)))
    assert np.array_equal(boxes_xywh(run_lengths), pycocotools.toBbox(of(masks)))


@pytest.mark.reference
@given(masks=stacks(least_masks=1))
def test_the_union_is_that_of_pycocotools(masks: np.ndarray) -> None:
    assert to_coco(union(encode(masks)))[0]["counts"].encode() == pycocotools.merge(of(masks))["counts"]
    assert np.array_equal(decode(union(encode(masks)))[0], masks.any(axis=0))


@given(masks=stacks(least_masks=1))
def test_a_stack_is_its_masks_one_after_another(masks: np.ndarray) -> None:
    stack = encode(masks)
    assert len(stack) == len(masks)
    for mask, alone in zip(masks, stack, strict=True):
        assert np.array_equal(encode(mask).counts, alone.counts) and np.array_equal(decode(alone)[0], mask)


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_runs_of_no_pixels_are_understood(counts: list[int]) -> None:
    width, pixels = sum(counts), np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    run_lengths = runs(*counts, size=(1, width))
    assert np.array_equal(decode(run_lengths)[0, 0], pixels) and areas(run_lengths)[0] == pixels.sum()
    left, _, wide, high = boxes_xywh(run_lengths)[0].tolist()
    inside = np.flatnonzero(pixels)
    assert (left, wide, high) == ((inside[0], inside[-1] - inside[0] + 1, 1) if len(inside) else (0, 0, 0))


def test_columns_come_first_and_background_before_the_object() -> None:
    mask = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.bool_)
    assert encode(mask).counts.tolist() == [0, 2, 1, 1, 2]
    assert boxes_xywh(encode(mask)).tolist() == [[0, 0, 2, 2]]


def test_large_stacks_are_encoded_in_parts() -> None:
    masks = np.random.default_rng(0).random((9, 300, 301)) > 0.5
    assert np.array_equal(decode(encode(masks)), masks)
    assert np.array_equal(decode(encode(masks[:, ::2, ::-1])), masks[:, ::2, ::-1])


@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 0, 5), (2, 4, 0), (0, 0, 0)])
def test_no_masks_and_no_pixels_come_back(shape: tuple[int, int, int]) -> None:
    run_lengths = encode(np.zeros(shape, dtype=np.bool_))
    assert len(run_lengths) == shape[0] and decode(run_lengths).shape == shape
    assert areas(run_lengths).tolist() == [0] * shape[0] and boxes_xywh(run_lengths).shape == (shape[0], 4)


def test_the_union_of_none_is_empty() -> None:
    assert union(encode(np.zeros((0, 2, 3), dtype=np.bool_))).counts.tolist() == [6]


@pytest.mark.parametrize("masks", [np.zeros((2, 2)), np.zeros(4, dtype=np.bool_), [[True]]])
def test_other_than_bool_masks_are_refused(masks: object) -> None:
    with pytest.raises(ValueError, match="H, W. or .N, H, W. of bool, but got"):
        encode(masks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "counts, splits, message",
    [
        ([3, -1, 4], [0, 3], "0 to 6 pixels, but got one of -1 in mask 0"),
        ([6, 2, 5], [0, 1, 3], "2 x 3 = 6 pixels together, but those of mask 1 have 7"),
        ([6, 2**62, 2**62, 2**62, 2**62, 6], [0, 1, 6], "0 to 6 pixels, but got one of 4611686018427387904 in mask 1"),
        ([6], [0, 0, 1], "to rise from 0 to 1"),
        ([6], [0], "to rise from 0 to 1"),
        ([6.0], [0, 1], "`counts` to be a vector of int64"),
    ],
)
def test_malformed_runs_are_refused(counts: list[float], splits: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunLengths((2, 3), np.array(counts), np.array(splits))


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers from 0, but got"):
        runs(6, size=(2.0, 3))  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="one of 1 masks, but got 1"):
        runs(6, size=(2, 3))[1]
