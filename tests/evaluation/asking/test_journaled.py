from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.asking.journaled import JournaledMeasurement, image_of
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.asking.users import SimulatedUser
from sam_ft.evaluation.measuring import Measurement, measure_interactively
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.showing.cases import cases_to_show
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.evaluation.unfinished.shares import Shard
from sam_ft.types import Sample

Model = Callable[..., Any]
Started = Callable[..., JournaledMeasurement]
QUESTIONS = Questions(clicks=(1, 2), box_clicks=(1,))


class Counted:
    """A data set that writes down which images are read, and fails at some of them."""

    def __init__(self, num_images: int, *, fails_at: int | None = None) -> None:
        val = Synthetic.splits(1, num_val=num_images, image_size=64).val
        assert val is not None
        self.samples, self.fails_at = val, fails_at
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        if index == self.fails_at:
            raise RuntimeError("The machine stopped here.")
        self.read.append(index)
        return self.samples[index]


@pytest.fixture
def start(box_model: Model, tmp_path: Path) -> Started:
    """A process that measures seven images, or nothing but what others have left."""

    def started(samples: Counted | None = None, *, purpose: str = "a") -> JournaledMeasurement:
        return JournaledMeasurement(
            box_model(image_size=64),
            samples or Counted(7),
            QUESTIONS,
            user=SimulatedUser("random", seed=3),
            journals=Journals(tmp_path / "unfinished", {"purpose": purpose}, list[MaskRecord], 7, image_of),
            batch_size=2,
        )

    return started


@pytest.fixture
def at_once(box_model: Model) -> Measurement:
    return measure_interactively(
        box_model(image_size=64), Counted(7), QUESTIONS, user=SimulatedUser("random", seed=3), batch_size=2
    )


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_shares_of_several_processes_are_what_one_measures(start: Started, at_once: Measurement, count: int) -> None:
    samples = [Counted(7) for _ in range(count)]
    for number in reversed(range(count)):
        start(samples[number]).go_on(Shard(number + 1, count))
    assert sorted(index for own in samples for index in own.read) == list(range(7))
    together = start().result({}, shown=())
    assert together.records == at_once.records
    assert together.summary == at_once.summary and together.places == at_once.places


def test_what_a_kill_interrupts_goes_on_and_asks_for_no_finished_image_again(
    start: Started, at_once: Measurement
) -> None:
    with pytest.raises(RuntimeError, match="stopped here"):
        start(Counted(7, fails_at=5)).go_on(Shard())
    again, counts = Counted(7), list[int]()
    start(again).go_on(Shard(), on_images=counts.append)
    assert again.read == [4, 5, 6] and counts == [4, 2, 1]
    assert start().result({}, shown=()).records == at_once.records


def test_another_model_or_data_set_begins_anew(start: Started) -> None:
    start(purpose="a").go_on(Shard())
    again = Counted(7)
    start(again, purpose="b").go_on(Shard())
    assert again.read == list(range(7))


def test_pictures_are_of_the_same_answers_whoever_measured(start: Started) -> None:
    shown = cases_to_show(Counted(7), 3)
    kept = start().go_on(Shard(), shown=shown)
    here = start().result(kept, shown=shown)
    again, samples = start(Counted(7)), Counted(7)
    there = start(samples).result(again.go_on(Shard(), shown=shown), shown=shown)
    assert not samples.read
    assert len(here.answers) == 3 * 4 and here.answers.keys() == there.answers.keys()
    for key, (record, mask) in here.answers.items():
        assert record == there.answers[key][0] and torch.equal(mask, there.answers[key][1])
