from __future__ import annotations

import pytest

from sam_ft.lightning.schedules import Cosine, Plateau, Steps


def test_a_cosine_starts_where_the_warmup_ends() -> None:
    cosine = Cosine(final_lr=0.2)
    assert [cosine(step, num_warmup=2, num_steps=6) for step in (2, 4, 6, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_steps_fall_at_shares_of_the_whole_run() -> None:
    steps = Steps(milestones=(0.5, 0.9), factor=0.5)
    assert [steps(step, num_warmup=3, num_steps=10) for step in (3, 4, 5, 8, 9, 12)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_without_milestones_nothing_falls() -> None:
    assert Steps(milestones=())(99, num_warmup=0, num_steps=100) == 1.0


@pytest.mark.parametrize(
    "wrong", [{"milestones": (0.9, 0.5)}, {"milestones": (0.0,)}, {"milestones": (60_000,)}, {"factor": 0.0}], ids=str
)
def test_steps_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Steps(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("final_lr", [-0.1, 1.5])
def test_a_last_share_out_of_range_is_refused(final_lr: float) -> None:
    with pytest.raises(ValueError, match="final_lr"):
        Cosine(final_lr=final_lr)


def test_a_plateau_leaves_the_learning_rate_to_validation() -> None:
    assert {Plateau()(step, num_warmup=3, num_steps=10) for step in (3, 9, 12)} == {1.0}


@pytest.mark.parametrize("wrong", [{"factor": 1.0}, {"factor": 0.0}, {"patience": -1}, {"patience": 1.5}], ids=str)
def test_a_plateau_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Plateau(**wrong)  # type: ignore[arg-type]
