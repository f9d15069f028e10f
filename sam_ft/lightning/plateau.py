"""A learning rate that falls where validation no longer improves."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim.lr_scheduler import LambdaLR

from sam_ft.lightning.schedules import Plateau, Schedule

_LEAST_RISE = 1e-4
"""Share of the best metric by which a better one is higher, as in ReduceLROnPlateau."""


class LowerOnPlateau(Callback):
    """After each validation looks at a metric, where higher is better, and lowers the learning rate if it is stuck.

    Lightning's own support of ReduceLROnPlateau counts epochs or batches and not validations, and would undo a
    warm-up. What this one has counted is kept in the checkpoints; the learning rate is so with the schedule.

    Args:
        plateau: when and by how much.
        monitor: the validation metric.
    """

    def __init__(self, plateau: Plateau, *, monitor: str) -> None:
        super().__init__()
        self.plateau = plateau
        self.monitor = monitor
        self.best: float | None = None
        self.num_stuck = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count, and lower the learning rate from the next step on."""
        if trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics[f"val/{self.monitor}"])
        if math.isnan(value):  # there was nothing to measure
            return
        if self.best is None or value > self.best * (1 + _LEAST_RISE):
            self.best, self.num_stuck = value, 0
        else:
            self.num_stuck += 1
        if self.num_stuck > self.plateau.patience:
            self.num_stuck = 0
            for config in trainer.lr_scheduler_configs:
                _multiply(config.scheduler, self.plateau.factor)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on with."""
        return {"best": self.best, "num_stuck": self.num_stuck}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.best, self.num_stuck = state_dict["best"], state_dict["num_stuck"]


def lower_on_plateau(schedule: Schedule, *, monitor: str) -> list[LowerOnPlateau]:
    """What a schedule needs beside itself: nothing, unless it is `Plateau`."""
    return [LowerOnPlateau(schedule, monitor=monitor)] if isinstance(schedule, Plateau) else []


def _multiply(scheduler: LambdaLR, factor: float) -> None:
    """Scale the learning rates that a scheduler takes its shares of, and those of the next step."""
    scheduler.base_lrs = [lr * factor for lr in scheduler.base_lrs]
    for group in scheduler.optimizer.param_groups:
        group["lr"] = group["lr"] * factor
