from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint

from sam_ft.lightning.calibration import CalibrationPicture, ValidationCalibration
from sam_ft.lightning.callbacks import checkpoints
from sam_ft.metrics.calibration import calibration

PREDICTED, ACTUAL = torch.rand(2, 50, generator=torch.Generator().manual_seed(0)).unbind()


def test_batches_add_up_and_the_next_validation_begins_anew() -> None:
    metric = ValidationCalibration()
    assert metric.calibration() is None
    for part in (slice(0, 20), slice(20, 20), slice(20, 50)):
        metric.update(PREDICTED[part], ACTUAL[part])
    found, expected = metric.calibration(), calibration(PREDICTED, ACTUAL)
    assert found is not None
    assert (found.error, found.bias) == pytest.approx((expected.error, expected.bias), abs=1e-6)
    assert [each.count for each in found.bins] == [each.count for each in expected.bins]
    assert metric.calibration() is None


def validate(picture: CalibrationPicture, score: float, *, best: ModelCheckpoint, **attributes: Any) -> None:
    known = {
        "sanity_checking": False,
        "is_global_zero": True,
        "callback_metrics": {"val/miou@1": torch.tensor(score)},
        "checkpoint_callback": best,
    }
    module = SimpleNamespace(calibration=calibration(PREDICTED, ACTUAL))
    picture.on_validation_end(
        cast(pl.Trainer, SimpleNamespace(**{**known, **attributes})), cast(pl.LightningModule, module)
    )


def test_the_picture_is_that_of_the_best_validation(tmp_path: Path) -> None:
    best = checkpoints(tmp_path, monitor="miou@1")[0]
    picture, path = CalibrationPicture(tmp_path / "calibration.png"), tmp_path / "calibration.png"
    validate(picture, 0.5, best=best)
    assert np.asarray(Image.open(path).convert("RGB"))[0, 0].tolist() == [255, 255, 255]  # not transparent
    best.best_model_score = torch.tensor(0.5)
    for score, written in ((0.4, False), (0.5, False), (0.6, True)):
        path.unlink(missing_ok=True)
        validate(picture, score, best=best)
        assert path.exists() == written


@pytest.mark.parametrize("attributes", [{"sanity_checking": True}, {"is_global_zero": False}])
def test_sanity_checks_and_other_ranks_draw_nothing(tmp_path: Path, attributes: dict[str, bool]) -> None:
    best = checkpoints(tmp_path, monitor="miou@1")[0]
    validate(CalibrationPicture(tmp_path / "calibration.png"), 0.5, best=best, **attributes)
    assert list(tmp_path.iterdir()) == []
