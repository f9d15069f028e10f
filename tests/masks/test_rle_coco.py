from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_ft.masks.rle import RunLengths, decode, encode
from sam_ft.masks.rle_coco import from_coco, to_coco

pycocotools = pytest.importorskip("pycocotools.mask", reason="the reference (extra data)")
MASKS = np.random.default_rng(0).random((3, 20, 30)) > 0.5


@pytest.mark.reference
@given(counts=st.lists(st.integers(0, 400) | st.integers(0, 2**22), min_size=1, max_size=30))
def test_any_counts_become_the_string_of_pycocotools_and_come_back(counts: list[int]) -> None:
    size = [1, sum(counts)]
    [ours] = to_coco(RunLengths((1, sum(counts)), np.array(counts), np.array([0, len(counts)])))
    assert ours["counts"].encode() == pycocotools.frPyObjects({"size": size, "counts": counts}, *size)["counts"]
    assert from_coco([ours]).counts.tolist() == counts


@pytest.mark.parametrize("compress", [True, False])
def test_a_stack_goes_through_json_and_back(compress: bool) -> None:
    objects = to_coco(encode(MASKS), compress=compress)
    assert objects[0]["size"] == [20, 30] and isinstance(objects[0]["counts"], str if compress else list)
    assert np.array_equal(decode(from_coco(objects)), MASKS)


def test_strings_bytes_and_lists_may_be_mixed() -> None:
    short, long = to_coco(encode(MASKS)), to_coco(encode(MASKS), compress=False)
    as_bytes = {**short[1], "counts": short[1]["counts"].encode()}
    assert np.array_equal(decode(from_coco([long[0], as_bytes, long[2]])), MASKS)
    assert np.array_equal(decode(from_coco([short[0], long[1], as_bytes])), MASKS[[0, 1, 1]])


def test_no_masks_need_a_size() -> None:
    assert to_coco(from_coco([], size=(4, 5))) == []
    with pytest.raises(ValueError, match="at least one mask or a `size`"):
        from_coco([])


@pytest.mark.parametrize(
    "counts, message",
    [
        ("", "whole `counts` of mask 1, but got b''"),
        ([], r"whole `counts` of mask 1, but got \[\]"),
        (None, "whole `counts` of mask 1, but got None"),
        ([3.0, 3], r"whole `counts` of mask 1, but got \[3.0, 3\]"),
        ([True, 5], r"whole `counts` of mask 1, but got \[True, 5\]"),
        ([2**70], "below 2 .. 63"),
        ([7, -1], "0 to 6 pixels, but got one of 7 in mask 1"),
        ([2, 3], "those of mask 1 have 5"),
        ("5", "those of mask 1 have 5"),
        ("O", "0 to 6 pixels, but got one of -1 in mask 1"),
        ("6P", "that of mask 1 ends inside a count"),
        ("6~", "characters 0 to o, but got '~' in mask 1"),
        ("6 ", "characters 0 to o, but got ' ' in mask 1"),
        ("PPPPPPPP0", "at most 7 characters, but got one of 9 in mask 1"),
    ],
)
def test_malformed_counts_are_refused_by_the_number_of_their_mask(counts: object, message: str) -> None:
    good = {"size": [2, 3], "counts": [6]}
    with pytest.raises(ValueError, match=message):
        from_coco([good, {"size": [2, 3], "counts": counts}])


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=127), min_size=1, max_size=12))
def test_any_text_is_a_mask_or_a_value_error(text: str) -> None:
    try:
        masks = decode(from_coco([{"size": [2, 3], "counts": text}]))
    except ValueError:
        return
    assert masks.shape == (1, 2, 3)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_string_that_was_cut_is_refused(cut: int) -> None:
    [whole] = to_coco(encode(MASKS[0]))
    with pytest.raises(ValueError, match="mask 0"):
        from_coco([{**whole, "counts": whole["counts"][:-cut]}])


@pytest.mark.parametrize(
    "given_object, message",
    [
        ("text", "counts.: .... of mask 0, but got 'text'"),
        ({"counts": [6]}, "of mask 0, but got"),
        ({"size": [2], "counts": [6]}, r"`size` \[height, width\] of mask 0, but got \[2\]"),
        ({"size": [2.0, 3], "counts": [6]}, "`size` .* of mask 0"),
        ({"size": [-2, -3], "counts": [6]}, "`size` .* of mask 0"),
        ({"size": [3, 2], "counts": [6]}, r"of \(2, 3\), but mask 0 is of \(3, 2\)"),
    ],
)
def test_malformed_objects_are_refused(given_object: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_coco([given_object], size=(2, 3))
