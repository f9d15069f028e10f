from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_ft.data.folds import FoldSplit

NAMES = [f"case{number}" for number in range(13)]


def held_out(split: FoldSplit, part: str) -> set[str]:
    return {name for name, where in split.assign(NAMES).items() if where == part}


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 13), st.integers(0, 99))
def test_the_folds_are_a_partition_of_nearly_equal_sizes(num_folds: int, seed: int) -> None:
    folds = [held_out(FoldSplit(fold=fold, num_folds=num_folds, seed=seed), "val") for fold in range(num_folds)]
    assert sorted(name for fold in folds for name in fold) == sorted(NAMES)
    assert max(map(len, folds)) - min(map(len, folds)) <= 1


def test_the_test_part_is_the_same_in_every_fold_and_in_none_of_them() -> None:
    splits = [FoldSplit(fold=fold, num_folds=3, test=0.2) for fold in range(3)]
    tested = [held_out(split, "test") for split in splits]
    assert tested[0] == tested[1] == tested[2] and len(tested[0]) == 3
    assert set().union(*(held_out(split, "val") for split in splits)) == set(NAMES) - tested[0]
    assert held_out(FoldSplit(fold=1, test=["case4"]), "test") == {"case4"}


def test_folds_stay_the_same_on_every_machine_and_in_any_order() -> None:
    # Golden: sorted by sha256 of "0:fold:caseN"; recompute with FoldSplit(fold=0).assign(NAMES).
    split = FoldSplit(fold=0)
    assert split.assign(NAMES[::-1] + NAMES) == split.assign(NAMES)
    assert held_out(split, "val") == {"case1", "case11", "case5"}
    assert held_out(FoldSplit(fold=0, seed=1), "val") != held_out(split, "val")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"fold": 5}, "`fold` from 0 to 4, but got 5"),
        ({"fold": -1}, "`fold`"),
        ({"fold": 0, "num_folds": 1}, "`num_folds`"),
        ({"fold": 0, "test": 1.5}, "`test`"),
    ],
)
def test_a_fold_that_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FoldSplit(**arguments)


def test_fewer_groups_than_folds_are_refused_with_their_names() -> None:
    with pytest.raises(ValueError, match=r"each of 5 folds, but got 2 \(a, b\)"):
        FoldSplit(fold=0).assign(["a", "b"])
    with pytest.raises(ValueError, match="case99"):
        FoldSplit(fold=0, test=["case99"]).assign(NAMES)
