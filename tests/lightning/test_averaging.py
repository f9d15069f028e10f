from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from sam_ft.checkpoints import read_state_dict
from sam_ft.lightning import FitResult, Monitoring, Recipe, training
from sam_ft.lightning.averaging import AveragedWeights
from sam_ft.models.adapt.freeze import TrainParts
from sam_ft.models.sam.model import Sam

Fit = Callable[..., FitResult]


@pytest.fixture
def averaged(recipe: Callable[..., Recipe]) -> Recipe:
    """A recipe that averages, at a learning rate at which weights move visibly."""
    taught = recipe(lr=1e-2)
    return replace(taught, optimiser=replace(taught.optimiser, ema=0.9))


class Watch(pl.Callback):
    """The weights after each step, and those that each validation and its pictures saw."""

    def __init__(self) -> None:
        self.after_step: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []
        self.pictured: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        self.after_step.append(copied(pl_module))

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object) -> None:
        self.validated.append(copied(pl_module))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.pictured.append(copied(pl_module))


def copied(module: pl.LightningModule) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.model.state_dict().items()}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """In the place of the pictures."""
    watch = Watch()
    monkeypatch.setattr(training, "ValidationPictures", lambda *_, **__: watch)
    return watch


def test_validation_and_saved_weights_are_the_average(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam], averaged: Recipe, watched: Watch
) -> None:
    model = tiny_model()
    TrainParts(("mask_decoder",))(model)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    monitoring = Monitoring(wandb="disabled", pictures=1)
    result = quick_fit(
        tmp_path / "run", model=model, recipe=averaged, monitoring=monitoring, max_steps=4, val_check_interval=4
    )
    assert len(watched.after_step) == 4 and len(watched.validated) == 1
    expected = watched.after_step[0]  # the average starts with what the first step made
    for num_averaged, weights in enumerate(watched.after_step[1:], start=1):
        kept = (1 + num_averaged) / (10 + num_averaged)
        expected = {name: torch.lerp(expected[name], tensor, 1 - kept) for name, tensor in weights.items()}
    saved, last = read_state_dict(result.weights), watched.after_step[-1]
    for name, tensor in expected.items():
        torch.testing.assert_close(watched.validated[0][name], tensor)
        assert torch.equal(watched.pictured[0][name], watched.validated[0][name])
        torch.testing.assert_close(saved[name], tensor)
        assert torch.equal(model.state_dict()[name], saved[name])
        if not name.startswith("mask_decoder."):
            assert torch.equal(saved[name], start[name])  # what is frozen stays bit by bit
    assert any(not torch.allclose(saved[name], tensor, rtol=1e-3) for name, tensor in last.items())


def test_the_average_forgets_at_most_as_fast_as_it_is_told() -> None:
    callback = AveragedWeights(0.5)
    callback.setup(pl.Trainer(logger=False, accelerator="cpu"), Linear(), "fit")
    average, module = callback._average_model, Linear()
    assert average is not None
    for value, expected in ((1.0, 1.0), (2.0, 2 - 2 / 11)):
        torch.nn.init.constant_(module.layer.weight, value)
        average.update_parameters(module)
        assert average.module.layer.weight.item() == pytest.approx(expected)
    average.n_averaged.fill_(1000)
    torch.nn.init.constant_(average.module.layer.weight, 0.0)
    average.update_parameters(module)
    assert average.module.layer.weight.item() == pytest.approx(0.5 * 2)


class Linear(pl.LightningModule):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1, bias=False)


class StopAfter(pl.Callback):
    """What a time limit does."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        trainer.should_stop = trainer.global_step == self.num_steps


def losses(result: FitResult) -> dict[int, str]:
    with (result.output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {int(row["step"]): row["train/loss"] for row in csv.DictReader(file) if row["train/loss"]}


def test_a_resumed_training_goes_on_with_weights_and_average(
    quick_fit: Fit, tmp_path: Path, averaged: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quick_fit(tmp_path / "whole", recipe=averaged, max_steps=4)
    monkeypatch.setattr(training, "early_stopping", lambda **_: [StopAfter(3)])
    stopped = quick_fit(tmp_path / "run", recipe=averaged, max_steps=4)
    assert stopped.num_steps == 3
    monkeypatch.setattr(training, "early_stopping", lambda **_: [])
    with pytest.raises(ValueError, match="trained with it: give the same optimiser.ema="):
        quick_fit(tmp_path / "run", resume=stopped.last_checkpoint, max_steps=4)
    resumed = quick_fit(tmp_path / "run", recipe=averaged, resume=stopped.last_checkpoint, max_steps=4)
    assert losses(resumed) == losses(whole)
    for key in ("state_dict", "current_model_state"):
        first, second = (torch.load(run.last_checkpoint, weights_only=True)[key] for run in (whole, resumed))
        assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
