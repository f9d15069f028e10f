"""Ctrl-C: the step is finished and its state saved before the training ends."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

_logger = logging.getLogger(__name__)


class TrainingInterrupted(Exception):  # noqa: N818  # no error
    """The user ended a training, whose state is saved.

    Attributes:
        num_steps: optimiser steps that are done.
        checkpoint: where to go on from.
    """

    def __init__(self, num_steps: int, checkpoint: Path) -> None:
        super().__init__(f"Stopped after {num_steps} steps. To go on, give the same command with resume={checkpoint}")
        self.num_steps = num_steps
        self.checkpoint = checkpoint


class SaveOnInterrupt(Callback):
    """After a first SIGINT the running step is the last one; a second SIGINT ends the training at once.

    Args:
        checkpoint: where to save.
    """

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self._is_asked = False
        self._last_step = 0
        self._before: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen; only a program's main thread can."""
        self._last_step = trainer.global_step
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and leave after an optimiser step, if one of the processes was asked to.

        Raises:
            TrainingInterrupted: one was.
        """
        if trainer.global_step == self._last_step:
            return  # gradients that are only gathered so far would be lost
        self._last_step = trainer.global_step
        is_asked = self._is_asked
        if trainer.world_size > 1:
            is_asked = trainer.strategy.reduce_boolean_decision(is_asked, all=False)
        if is_asked:
            trainer._logger_connector.update_train_step_metrics()  # the step's losses, which would come after this
            trainer.save_checkpoint(self.checkpoint)
            raise TrainingInterrupted(trainer.global_step, self.checkpoint)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Listen no more."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked:
            signal.default_int_handler(number, frame)
        self._is_asked = True
        _logger.info("\nStopping after this step, with its state saved. Ctrl-C once more stops at once.")
