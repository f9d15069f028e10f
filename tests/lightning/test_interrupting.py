from __future__ import annotations

import csv
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sam_ft.checkpoints import read_state_dict
from sam_ft.lightning import FitResult
from sam_ft.lightning.interrupting import TrainingInterrupted
from sam_ft.lightning.module import SamModule

Fit = Callable[..., FitResult]


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Presses Ctrl-C some times while a batch, counted from 0, is being learnt."""
    step = SamModule.training_step

    def at(batch: int, *, times: int = 1) -> None:
        seen = iter(range(1000))

        def pressed(self: SamModule, *args: Any) -> Any:
            if next(seen) == batch:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return step(self, *args)

        monkeypatch.setattr(SamModule, "training_step", pressed)

    return at


def losses(folder: Path) -> dict[int, str]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {int(row["step"]): row["train/loss"] for row in csv.DictReader(file) if row["train/loss"]}


@pytest.mark.parametrize("batch, accumulated, num_steps", [(0, 1, 1), (1, 1, 2), (2, 1, 3), (4, 1, 5), (2, 2, 2)])
def test_an_interrupted_training_goes_on_as_if_never_stopped(
    quick_fit: Fit, tmp_path: Path, press: Callable[..., None], batch: int, accumulated: int, num_steps: int
) -> None:
    """In the first and the last batch of an epoch of 2, between validations, and within an accumulated step."""
    settings = {"max_steps": 6 // accumulated, "accumulate_grad_batches": accumulated}
    whole = quick_fit(tmp_path / "whole", **settings)
    before = signal.getsignal(signal.SIGINT)
    press(batch)
    with pytest.raises(TrainingInterrupted, match=rf"after {num_steps} steps\. .* resume=.*last\.ckpt") as stopped:
        quick_fit(tmp_path / "run", **settings)
    assert signal.getsignal(signal.SIGINT) is before
    assert stopped.value.num_steps == num_steps and stopped.value.checkpoint == tmp_path / "run" / "last.ckpt"
    press(-1)
    resumed = quick_fit(tmp_path / "run", resume=stopped.value.checkpoint, **settings)
    assert resumed.num_steps == whole.num_steps
    assert losses(resumed.output) == losses(whole.output)
    ours, theirs = (read_state_dict(each.last_checkpoint) for each in (resumed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_second_press_ends_the_training_at_once(quick_fit: Fit, tmp_path: Path, press: Callable[..., None]) -> None:
    before = signal.getsignal(signal.SIGINT)
    press(1, times=2)
    with pytest.raises(SystemExit):  # Lightning's answer to a KeyboardInterrupt
        quick_fit(tmp_path / "run", max_steps=6)
    assert not (tmp_path / "run" / "last.ckpt").exists()
    signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored
