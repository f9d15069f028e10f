from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from sam_ft.checkpoints import read_state_dict
from sam_ft.lightning import FitResult, Recipe, training
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.plateau import LowerOnPlateau, lower_on_plateau
from sam_ft.lightning.schedules import Cosine, Plateau

MODULE = cast(pl.LightningModule, None)


def after_validation(scheduler: LambdaLR, value: float, *, sanity_checking: bool = False) -> pl.Trainer:
    metrics = {"val/miou@1": torch.tensor(value)}
    configs = [SimpleNamespace(scheduler=scheduler)]
    trainer = SimpleNamespace(sanity_checking=sanity_checking, callback_metrics=metrics, lr_scheduler_configs=configs)
    return cast(pl.Trainer, trainer)


def made(*, warmup: int = 0) -> tuple[LambdaLR, LowerOnPlateau]:
    settings = OptimiserSettings(lr=0.8, warmup=warmup, schedule=Plateau(factor=0.5, patience=2))
    scheduler = settings.scheduler(settings.optimiser(nn.Linear(2, 2)), 100)
    return scheduler, LowerOnPlateau(Plateau(factor=0.5, patience=2), monitor="miou@1")


def test_the_learning_rate_falls_where_that_of_torch_falls() -> None:
    """Rises, stays, rises by too little, falls, and stays for long."""
    scheduler, lower = made()
    theirs = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    reference = ReduceLROnPlateau(theirs, mode="max", factor=0.5, patience=2)
    values = [0.2, 0.3, 0.3, 0.30001, 0.1, 0.4, 0.4, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.1, 0.5, 0.4, 0.4]
    rates = []
    for value in values:
        lower.on_validation_end(after_validation(scheduler, value), MODULE)
        reference.step(value)
        scheduler.optimizer.step()
        scheduler.step()
        rates.append([group["lr"] for group in scheduler.optimizer.param_groups])
        assert rates[-1] == pytest.approx([theirs.param_groups[0]["lr"]] * 2)
    assert len({tuple(rate) for rate in rates}) >= 4


def test_a_validation_that_measured_nothing_counts_as_none() -> None:
    scheduler, lower = made()
    for value in (float("nan"), 0.2, float("nan"), float("nan"), 0.3, 0.4, 0.5):
        lower.on_validation_end(after_validation(scheduler, value), MODULE)
    assert lower.best == pytest.approx(0.5) and lower.num_stuck == 0
    assert scheduler.base_lrs == [0.8, 0.8]


def test_a_warmup_goes_on_towards_the_lowered_rate() -> None:
    scheduler, lower = made(warmup=3)
    for _ in range(4):
        lower.on_validation_end(after_validation(scheduler, 0.5), MODULE)
    assert scheduler.optimizer.param_groups[0]["lr"] == pytest.approx(0.8 * 0.5 / 4)
    for _ in range(3):
        scheduler.optimizer.step()
        scheduler.step()
    assert scheduler.optimizer.param_groups[0]["lr"] == pytest.approx(0.8 * 0.5)


def test_a_sanity_check_is_no_validation() -> None:
    scheduler, lower = made()
    for _ in range(9):
        lower.on_validation_end(after_validation(scheduler, 0.5, sanity_checking=True), MODULE)
    assert scheduler.optimizer.param_groups[0]["lr"] == 0.8


def test_only_a_plateau_needs_something_beside_itself() -> None:
    assert lower_on_plateau(Cosine(), monitor="miou@1") == []
    (lower,) = lower_on_plateau(Plateau(patience=7), monitor="miou@box")
    assert (lower.plateau.patience, lower.monitor) == (7, "miou@box")


class Stop(pl.Callback):
    """Ends a training after its third step, as if the time was over."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step == 3


def test_a_resumed_training_has_the_lowered_rate_and_goes_on_counting(
    quick_fit: Callable[..., FitResult],
    recipe: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught = recipe(lr=1e-2)
    schedule = Plateau(factor=0.5, patience=1)
    taught = replace(taught, optimiser=replace(taught.optimiser, warmup=0, schedule=schedule))
    monkeypatch.setattr(LowerOnPlateau, "on_validation_end", counted)  # whether such a short training rises is chance
    whole = quick_fit(tmp_path / "whole", recipe=taught, max_steps=6, val_check_interval=1)
    early_stopping = training.early_stopping
    monkeypatch.setattr(training, "early_stopping", lambda **kw: [*early_stopping(**kw), Stop()])
    stopped = quick_fit(tmp_path / "run", recipe=taught, max_steps=6, val_check_interval=1)
    monkeypatch.setattr(training, "early_stopping", early_stopping)
    assert stopped.num_steps == 3 and rate_of(stopped) == pytest.approx(0.5e-2)
    resumed = quick_fit(
        tmp_path / "run", recipe=taught, max_steps=6, val_check_interval=1, resume=stopped.last_checkpoint
    )
    assert rate_of(resumed) == rate_of(whole) == pytest.approx(0.25e-2)
    expected = read_state_dict(whole.last_checkpoint)
    assert all(tensor.equal(expected[name]) for name, tensor in read_state_dict(resumed.last_checkpoint).items())


def rate_of(result: FitResult) -> float:
    return float(torch.load(result.last_checkpoint, weights_only=True)["optimizer_states"][0]["param_groups"][0]["lr"])


_ON_VALIDATION_END = LowerOnPlateau.on_validation_end


def counted(self: LowerOnPlateau, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
    """With a metric that never rises."""
    (config,) = trainer.lr_scheduler_configs
    _ON_VALIDATION_END(self, after_validation(cast(LambdaLR, config.scheduler), 0.5), pl_module)
