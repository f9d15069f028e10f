"""The exponential moving average of the weights."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class AveragedWeights(WeightAveraging):
    """Validation, its pictures and the checkpoints see the average of the weights over the steps, not the last ones.

    Beside it a checkpoint holds the last weights (Lightning's `current_model_state`), with which a resumed training
    goes on. What does not learn stays bit by bit what it is.

    Args:
        decay: what the average keeps of itself in each step. In the first steps it keeps less, so that it forgets
            the weights of the start: at most (1 + n) / (10 + n) after n steps.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor | int) -> None:
            kept = min(decay, (1 + int(num_averaged)) / (10 + int(num_averaged)))
            torch._foreach_lerp_(averaged, current, 1 - kept)  # leaves what is equal in both exactly equal

        super().__init__(use_buffers=False, multi_avg_fn=average)  # buffers are copied: none of ours learns

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the average in the model until the pictures are drawn."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the last weights; checkpoints are written after this."""
        if self._average_model is not None:
            self._swap_models(pl_module)
