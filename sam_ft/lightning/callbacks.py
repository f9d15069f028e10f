"""What happens around the training steps: progress, pictures, checkpoints."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, ProgressBar
from torch import Tensor
from tqdm import tqdm

from sam_ft.data.collation import PreparedSample, PreparedSamples, collate
from sam_ft.evaluation.asking.asked_objects import Answer
from sam_ft.evaluation.asking.interactive import evaluate_clicks
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.showing.cases import spread_evenly
from sam_ft.files import atomic_write
from sam_ft.masks.areas import mask_areas
from sam_ft.models.sam.model import Sam
from sam_ft.pictures import Case, Prediction, comparison_figure, to_png

_logger = logging.getLogger(__name__)

Draw = Callable[[Sam, Sequence[PreparedSample]], Figure]
"""What a model makes of some samples, as one picture."""

_SHOWN = ("val/miou", "val/pixel_accuracy", "val/class_accuracy")
"""How the names of the figures begin that stand beside the progress bar; there is no room for all."""


class StepProgress(ProgressBar):
    """One bar over all steps of the run, with the time left, the smoothed loss and the last validation."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None
        self._loss: float | None = None
        self._validation: dict[str, float] = {}
        self._enabled = True

    def disable(self) -> None:
        """Lightning calls this on all ranks but the first."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar, at the step a resumed run has reached."""
        super().on_train_start(trainer, pl_module)
        if self._enabled:
            self._bar = tqdm(
                total=int(trainer.estimated_stepping_batches),
                initial=trainer.global_step,
                desc="training",
                unit="step",
                mininterval=0.5 if sys.stderr.isatty() else 15,
                dynamic_ncols=True,
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on by as many optimiser steps as were made."""
        if self._bar is None:
            return
        loss = float(trainer.callback_metrics["train/loss"])
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        self._show()
        self._bar.update(trainer.global_step - self._bar.n)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the newest figures."""
        self._validation = {
            name.removeprefix("val/"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(_SHOWN) and name.count("/") == 1  # else it is of one set of a mixture
        }
        if self._bar is not None:
            self._show()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error stands on a line of its own."""
        self._close()

    def _show(self) -> None:
        shown = {"loss": f"{self._loss:.3f}"} if self._loss is not None else {}
        shown |= {name: f"{value:.3f}" for name, value in self._validation.items()}
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class ValidationPictures(Callback):
    """After every validation a picture of truth and prediction for a few samples.

    Args:
        samples: the validation part; the pictured ones are spread over it evenly, and read when they are first drawn.
        folder: where `step_000100.png` and so on are written.
        count: how many samples.
        draw: what is drawn; by default prompts and masks.
    """

    def __init__(self, samples: PreparedSamples, folder: Path, *, count: int = 3, draw: Draw | None = None) -> None:
        super().__init__()
        self.draw = draw or prompted_masks
        self.folder = folder
        self._part = samples
        self._count = count

    @cached_property
    def samples(self) -> list[PreparedSample]:
        """The pictured ones."""
        return [self._part[index] for index in spread_evenly(self._count, len(self._part))]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw and write."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        with atomic_write(self.folder / f"step_{trainer.global_step:06d}.png") as path:
            path.write_bytes(to_png(self.draw(pl_module.model, self.samples), dpi=120))


def prompted_masks(model: Sam, prepared: Sequence[PreparedSample]) -> Figure:
    """The largest object of each sample with one click and with its box."""
    answers: dict[tuple[str, int, str], tuple[MaskRecord, Tensor]] = {}

    def keep(record: MaskRecord, answer: Answer) -> None:
        answers[record.image, record.object_index, record.prompt] = (record, answer() > 0)

    prepared = [item for item in prepared if len(item.masks)]
    for item in prepared:
        evaluate_clicks(model, [collate([item])], clicks=(1,), on_prediction=keep)
    cases = []
    for sample in (item.sample for item in prepared):
        largest = int(mask_areas(sample.masks).argmax())
        predictions = [
            Prediction(title, mask, record.iou, record.points, record.labels, record.box)
            for prompt, title in (("click", "1 click"), ("box", "box"))
            for record, mask in [answers[sample.name, largest, prompt]]
        ]
        title = f"{sample.name}: {sample.class_names[largest]}"
        cases.append(Case(title, sample.image, sample.masks[largest], predictions))
    return comparison_figure(cases)


def checkpoints(folder: Path, *, monitor: str) -> list[ModelCheckpoint]:
    """`best.ckpt` by a validation metric, where higher is better, and `last.ckpt` after every validation."""
    best = ModelCheckpoint(
        dirpath=folder, filename="best", monitor=f"val/{monitor}", mode="max", enable_version_counter=False
    )
    last = LastCheckpoint(dirpath=folder, filename="last", enable_version_counter=False)
    return [best, last]


class LastCheckpoint(ModelCheckpoint):
    """The newest state: after every validation and after the last step.

    A class of its own, since Lightning keeps the state of callbacks by class and settings. It saves while the loop
    runs: what is saved after `Trainer.fit` has returned counts the running epoch as done and resumes wrongly.
    """

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the logged step right: Lightning's count is one short after a resume from a state of the last step."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if this was the last step."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        last_epoch = trainer.max_epochs is not None and trainer.current_epoch + 1 == trainer.max_epochs
        if trainer.should_stop or trainer.global_step == trainer.max_steps or (last_epoch and trainer.is_last_batch):
            trainer.save_checkpoint(Path(str(self.dirpath)) / "last.ckpt")


def early_stopping(*, monitor: str, patience: int | None) -> list[EarlyStopping]:
    """Stop when a validation metric has not risen for `patience` validations; None: nothing stops."""
    return [] if patience is None else [EarlyStopping(monitor=f"val/{monitor}", mode="max", patience=patience)]
