"""A model and data small enough that a training step takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning import FitResult, Monitoring, Recipe, fit, training
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import sam
from sam_ft.prompts.presets import sam_paper

SIZE = 64


def _model(seed: int = 0) -> Sam:
    torch.manual_seed(seed)
    return sam(
        image_size=SIZE,
        encoder_width=24,
        encoder_depth=2,
        encoder_heads=2,
        global_attention_blocks=(1,),
        window_size=2,
        decoder_width=32,
    )


def _recipe(*, seed: int = 0, lr: float = 1e-3, batch_size: int = 2, augment: str = "none") -> Recipe:
    return Recipe(
        prompts=sam_paper(num_clicks=1, num_mask_only=1),
        optimiser=OptimiserSettings(lr=lr),
        loader=LoaderSettings(batch_size=batch_size, max_objects=4, augment=augment),
        seed=seed,
    )


@pytest.fixture
def tiny_model() -> Callable[..., Sam]:
    """Makes a model from a seed."""
    return _model


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """Makes a recipe of few rounds."""
    return _recipe


@pytest.fixture
def splits() -> DataSplits:
    """4 images to train on (2 batches an epoch), 2 to validate on."""
    return Synthetic.splits(4, num_val=2, image_size=SIZE)


@pytest.fixture
def samples() -> Synthetic:
    return Synthetic(3, image_size=SIZE)


class StopAfter(pl.Callback):
    """What a time limit does."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step == self.num_steps


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make trainings stop early as if the time was over, though their schedule is the whole one's."""
    early_stopping = training.early_stopping

    def stop(num_steps: int) -> None:
        monkeypatch.setattr(training, "early_stopping", lambda **kw: [*early_stopping(**kw), StopAfter(num_steps)])

    return stop


def trainer(**arguments: Any) -> dict[str, Any]:
    """Arguments of Lightning's Trainer: a validation every 2 batches, everything logged."""
    return {
        "accelerator": "cpu",
        "max_steps": 4,
        "val_check_interval": 2,
        "check_val_every_n_epoch": None,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        **arguments,
    }


@pytest.fixture
def quick_fit(splits: DataSplits) -> Callable[..., FitResult]:
    """`fit` with everything small; arguments beyond those of `fit` go to Lightning's Trainer."""

    def run(
        output: Path,
        *,
        model: Sam | None = None,
        data: DataSplits | None = None,
        recipe: Recipe | None = None,
        monitoring: Monitoring | None = None,
        resume: Path | None = None,
        config: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> FitResult:
        return fit(
            model or _model(),
            data or splits,
            output=output,
            recipe=recipe or _recipe(),
            monitoring=monitoring or Monitoring(wandb="disabled", pictures=0),
            trainer=trainer(**arguments),
            resume=resume,
            config=config,
        )

    return run
