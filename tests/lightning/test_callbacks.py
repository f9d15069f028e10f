from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image

from sam_ft.data.collation import Prepare, PreparedSamples
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning.callbacks import StepProgress, ValidationPictures, checkpoints, early_stopping
from sam_ft.models.sam.model import Sam


def fake_trainer(**attributes: Any) -> pl.Trainer:
    known = {"sanity_checking": False, "is_global_zero": True, "global_step": 7, "callback_metrics": {}}
    return cast(pl.Trainer, SimpleNamespace(**{**known, **attributes}))


def prepared(num_images: int) -> PreparedSamples:
    return PreparedSamples(Synthetic(num_images, image_size=64), Prepare(64))


def test_pictured_samples_are_spread_evenly(tmp_path: Path) -> None:
    pictures = ValidationPictures(prepared(10), tmp_path, count=2)
    assert [item.sample.name for item in pictures.samples] == ["synthetic_00002", "synthetic_00007"]


def test_no_more_samples_are_pictured_than_there_are(tmp_path: Path) -> None:
    pictures = ValidationPictures(prepared(2), tmp_path, count=5)
    assert [item.sample.name for item in pictures.samples] == ["synthetic_00000", "synthetic_00001"]


def test_a_validation_draws_one_picture_named_by_its_step(tmp_path: Path, tiny_model: Callable[..., Sam]) -> None:
    pictures = ValidationPictures(prepared(2), tmp_path / "pictures", count=1)
    module = cast(pl.LightningModule, SimpleNamespace(model=tiny_model()))
    pictures.on_validation_end(fake_trainer(), module)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["step_000007.png"]
    pixels = np.asarray(Image.open(tmp_path / "pictures" / "step_000007.png"))
    assert pixels.std() > 10


@pytest.mark.parametrize("attributes", [{"sanity_checking": True}, {"is_global_zero": False}])
def test_nothing_is_drawn_by_sanity_checks_or_other_ranks(tmp_path: Path, attributes: dict[str, bool]) -> None:
    pictures = ValidationPictures(prepared(1), tmp_path / "pictures")
    pictures.on_validation_end(fake_trainer(**attributes), cast(pl.LightningModule, None))
    assert not (tmp_path / "pictures").exists()


def test_the_progress_bar_shows_steps_time_loss_and_the_last_validation(capsys: pytest.CaptureFixture[str]) -> None:
    bar = StepProgress()
    module = cast(pl.LightningModule, None)
    metrics: dict[str, float] = {}
    trainer = cast(Any, fake_trainer(estimated_stepping_batches=4, global_step=2, callback_metrics=metrics))
    bar.on_train_start(trainer, module)
    metrics["train/loss"] = 1.5
    trainer.global_step = 3
    bar.on_train_batch_end(trainer, module, None, None, 0)
    metrics["val/miou@1"] = 0.625
    bar.on_validation_end(trainer, module)
    bar.on_train_end(trainer, module)
    shown = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert "50%" in shown[0] and "2/4" in shown[0]  # a resumed run begins where it was
    assert "3/4" in shown[-1] and "loss=1.500" in shown[-1] and "miou@1=0.625" in shown[-1]
    assert "step" in shown[-1] and "<" in shown[-1]  # elapsed<left


def test_the_shown_loss_is_smoothed(capsys: pytest.CaptureFixture[str]) -> None:
    bar = StepProgress()
    module = cast(pl.LightningModule, None)
    trainer = cast(Any, fake_trainer(estimated_stepping_batches=2, global_step=0))
    bar.on_train_start(trainer, module)
    for loss in (1.0, 3.0):
        trainer.callback_metrics = {"train/loss": loss}
        trainer.global_step += 1
        bar.on_train_batch_end(trainer, module, None, None, 0)
    bar.on_train_end(trainer, module)
    assert "loss=1.100" in capsys.readouterr().err


def test_a_disabled_bar_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    bar = StepProgress()
    bar.disable()
    bar.on_train_start(fake_trainer(), cast(pl.LightningModule, None))
    bar.on_validation_end(fake_trainer(), cast(pl.LightningModule, None))
    bar.on_exception(fake_trainer(), cast(pl.LightningModule, None), ValueError())
    assert capsys.readouterr().err == ""


def test_the_best_checkpoint_is_the_highest_of_its_metric(tmp_path: Path) -> None:
    best, last = checkpoints(tmp_path, monitor="miou@box")
    assert (cast(Any, best).monitor, cast(Any, best).mode) == ("val/miou@box", "max")
    assert cast(Any, last).monitor is None
    assert best.state_key != last.state_key  # else Lightning mixes up their states


def test_without_patience_nothing_stops(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert early_stopping(monitor="miou@1", patience=None) == []
    (stopping,) = early_stopping(monitor="miou@1", patience=4)
    assert (stopping.monitor, stopping.mode, stopping.patience) == ("val/miou@1", "max", 4)
