"""What a model thinks of its masks against what they are, over a validation: a metric, and its picture."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import Tensor
from torchmetrics import Metric

from sam_ft.charts.calibration import calibration_figure
from sam_ft.files import atomic_write
from sam_ft.metrics.calibration import Calibration, bin_sums, calibration_of
from sam_ft.pictures import to_png

_NUM_BINS = 10


class ValidationCalibration(Metric):
    """Adds up `bin_sums` over the masks of all batches and ranks."""

    full_state_update = False
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(3, _NUM_BINS), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, actual: Tensor) -> None:
        """Add masks: predicted and true IoU `(K,)` each; K may be 0."""
        self.sums += bin_sums(predicted, actual, num_bins=_NUM_BINS).to(self.sums)

    def compute(self) -> Tensor:
        """The sums over all ranks, (3, bins)."""
        return self.sums

    def calibration(self) -> Calibration | None:
        """Over all ranks, which must call it together; None before the first mask. Begins anew."""
        sums = self.compute().cpu()
        self.reset()
        return calibration_of(sums) if sums[0].sum() else None


class CalibrationPicture(Callback):
    """The calibration of the best validation so far, so that of `best.ckpt`, as a picture.

    The best is what the trainer's first checkpoint callback says, which Lightning calls after this one.

    Args:
        path: of the PNG.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw it if this validation is better than all before."""
        calibration: Calibration | None = pl_module.calibration
        if trainer.sanity_checking or not trainer.is_global_zero or calibration is None:
            return
        best: ModelCheckpoint = trainer.checkpoint_callback
        score, so_far = trainer.callback_metrics[str(best.monitor)], best.best_model_score
        if so_far is None or score > so_far:
            figure = calibration_figure(calibration)
            figure.set_facecolor("white")
            with atomic_write(self.path) as path:
                path.write_bytes(to_png(figure))
