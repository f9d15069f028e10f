from __future__ import annotations

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.data.synthetic import Synthetic

NAMES = [f"case{number}" for number in range(20)]


def sizes(parts: dict[str, str | None]) -> tuple[int, int, int]:
    values = list(parts.values())
    return values.count("train"), values.count("val"), values.count("test")


def test_groups_are_split_by_their_shares() -> None:
    assert sizes(GroupSplit(val=0.1, test=0.25).assign(NAMES)) == (13, 2, 5)
    assert sizes(GroupSplit(val=0.01, test=0).assign(NAMES)) == (19, 1, 0)


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    split = GroupSplit().assign(NAMES)
    assert GroupSplit().assign(NAMES[::-1] + NAMES) == split
    assert GroupSplit(seed=1).assign(NAMES) != split


def test_a_split_stays_the_same_on_every_machine() -> None:
    # Golden: sorted by sha256 of "0:caseN"; recompute with GroupSplit(val=0.1, test=0.1).assign(NAMES).
    parts = GroupSplit(val=0.1, test=0.1).assign(NAMES)
    assert sorted(name for name, part in parts.items() if part == "val") == ["case19", "case9"]
    assert sorted(name for name, part in parts.items() if part == "test") == ["case2", "case3"]


def test_groups_may_be_named() -> None:
    parts = GroupSplit(val=["case3"], test=["case5", "case7"]).assign(NAMES)
    assert [name for name, part in parts.items() if part == "val"] == ["case3"]
    assert sorted(name for name, part in parts.items() if part == "test") == ["case5", "case7"]
    assert sizes(GroupSplit(val=["case3"], test=0.2).assign(NAMES)) == (15, 1, 4)


@pytest.mark.parametrize(
    "split, message",
    [
        (GroupSplit(val=["case99"], test=0), "case99"),
        (GroupSplit(val=["case1"], test=["case1"]), "case1 in both"),
        (GroupSplit(val=0.5, test=0.5), "leave one for training"),
    ],
)
def test_a_split_that_cannot_be_is_refused(split: GroupSplit, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split.assign(NAMES)


def test_a_share_is_a_number_from_0_to_1() -> None:
    for share in (1.0, -0.1, 3, "case1"):
        with pytest.raises(ValueError, match="`val`"):
            GroupSplit(val=share)


@settings(max_examples=100, deadline=None)
@given(st.integers(20, 200), st.floats(0.3, 3), st.floats(0, 6), st.floats(0, 0.4), st.floats(0.6, 0.9))
def test_training_slices_keep_the_gap_from_held_out_ones(
    num_slices: int, distance_mm: float, gap_mm: float, val_start: float, test_start: float
) -> None:
    split = SlabSplit(val=(val_start, val_start + 0.1), test=(test_start, test_start + 0.1), gap_mm=gap_mm)
    try:
        parts = split.assign(num_slices, slice_distance_mm=distance_mm)
    except ValueError:
        reject()  # too little room for the gaps: the tests below
    places = {part: [index for index, other in enumerate(parts) if other == part] for part in ("train", "val", "test")}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        nearest = min(abs(a - b) for a in places[first] for b in places[second])
        assert (nearest - 1) * distance_mm >= gap_mm - 1e-4


def test_slabs_lie_where_the_fractions_say() -> None:
    parts = SlabSplit(val=(0.1, 0.2), test=(0.5, 0.7), gap_mm=4).assign(20, slice_distance_mm=2)
    assert "".join(part[1] if part else "." for part in parts) == "..aa..rr..eeee..rrrr"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"val": (0.3, 0.6), "test": (0.5, 0.8)}, "overlap"),
        ({"val": (0.6, 0.3)}, "start < stop"),
        ({"val": (0.3, 1.2)}, "start < stop"),
        ({"val": (0.3, 0.4), "gap_mm": -1}, "gap_mm"),
    ],
)
def test_slabs_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlabSplit(**arguments)


def test_slabs_nearer_than_the_gap_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 slices .* got 2 of 20"):
        SlabSplit(val=(0.3, 0.4), test=(0.5, 0.6), gap_mm=5).assign(20, slice_distance_mm=1)


def test_slabs_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ValueError, match="left to train on"):
        SlabSplit(val=(0.2, 0.8), gap_mm=30).assign(50, slice_distance_mm=1)


def test_a_part_without_samples_is_refused() -> None:
    class Nothing:
        def __len__(self) -> int:
            return 0

    with pytest.raises(ValueError, match="val part"):
        DataSplits(train=Synthetic(1), val=Nothing())
