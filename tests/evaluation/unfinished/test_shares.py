from __future__ import annotations

from pathlib import Path

import pytest

from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.evaluation.unfinished.shares import Shard, open_share


@pytest.fixture
def journals(tmp_path: Path) -> Journals[float]:
    return Journals(tmp_path / "unfinished", {}, float, count=7, name_of=lambda entry: None)


def measure(journals: Journals[float], shard: Shard, *, most: int = 99) -> list[int]:
    """What a process measures until it is killed."""
    with open_share(journals, shard, batch_size=2) as share:
        indices = share.indices[:most]
        for index in indices:
            share.add(index / 7)
    return indices


def test_shares_are_whole_batches_and_together_everything(journals: Journals[float]) -> None:
    assert measure(journals, Shard(2, 3)) == [2, 3] and measure(journals, Shard(1, 3)) == [0, 1, 6]
    assert measure(journals, Shard(3, 3)) == [4, 5]
    assert journals.expect_complete() == {index: index / 7 for index in range(7)}


def test_a_batch_with_a_missing_unit_is_measured_again_and_no_unit_written_twice(journals: Journals[float]) -> None:
    assert measure(journals, Shard(), most=3) == [0, 1, 2]
    assert measure(journals, Shard()) == [2, 3, 4, 5, 6]
    assert journals.num_finished() == 7 and len(journals.expect_complete()) == 7
    assert measure(journals, Shard()) == []


def test_another_number_of_processes_goes_on_with_what_is_left(journals: Journals[float]) -> None:
    assert measure(journals, Shard(1, 2)) == [0, 1, 4, 5]
    with open_share(journals, Shard(1, 3), batch_size=2) as share:
        assert share.done == [0, 1] and share.indices == [6]
    assert measure(journals, Shard(2, 3)) == [2, 3] and measure(journals, Shard()) == [6]
    assert len(journals.expect_complete()) == 7


def test_a_share_is_done_by_one_process_alone(journals: Journals[float]) -> None:
    measure(journals, Shard(1, 2))
    with (
        open_share(journals, Shard(1, 2)),
        pytest.raises(ValueError, match="no other process"),
        open_share(journals, Shard()),
    ):
        pass


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "-1/2", "1/2/3", ""])
def test_a_share_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected `shard`"):
        Shard.parsed(text)


def test_a_share_is_written_as_a_fraction() -> None:
    assert Shard.parsed("2/4") == Shard(2, 4)
