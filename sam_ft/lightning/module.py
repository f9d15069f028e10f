"""The training of a promptable model as a Lightning module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics import MeanMetric

from sam_ft.any_checkpoints import AnyModel
from sam_ft.data.classes import class_indices
from sam_ft.evaluation.asking.interactive import evaluate_clicks
from sam_ft.lightning.calibration import ValidationCalibration
from sam_ft.lightning.compiling import DecodeImages, Encode, compiled_decoder, compiled_encoder, expect_compiler
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.segmentation import LossParts, SegmentationLoss
from sam_ft.metrics.calibration import Calibration
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import PromptPreset
from sam_ft.prompts.sampling import low_resolution
from sam_ft.prompts.simulation import simulate_rounds
from sam_ft.prompts.truth import Truth
from sam_ft.transforms import Frame
from sam_ft.types import Batch

CONFIG_KEY = "sam_ft_config"
"""Where a checkpoint keeps the config of the run that wrote it."""


class TaughtModule(pl.LightningModule):
    """What every training shares: optimiser, a config in each checkpoint, randomness by the step alone.

    Args:
        model: what is trained; parameters that do not require a gradient stay as they are.
        optimiser: optimiser and schedule.
        memory: what is computed again instead of being kept.
        seed: of everything drawn; what a step draws depends on seed, epoch, batch and rank alone.
        config: the run's config, kept in every checkpoint.
    """

    def __init__(
        self,
        model: AnyModel,
        *,
        optimiser: OptimiserSettings,
        memory: MemorySettings | None = None,
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimiser_settings = optimiser
        self.memory = memory or MemorySettings()
        self.memory.set_on(model)
        self._encode_image: Encode = model.encode_image
        self.seed = seed
        self.config = dict(config or {})

    def compile_steps(self) -> None:
        """Compile what training steps call of the model; validation, with shapes of all sorts, goes on without.

        Raises:
            ValueError: there is no compiler.
        """
        expect_compiler()
        self._encode_image = compiled_encoder(self.model)

    def backward(self, loss: Tensor) -> None:
        """The gradient of the mean over all images of an optimiser step.

        Lightning divides each batch's loss by `accumulate_grad_batches`, at the end of an epoch too, where a step may
        have fewer batches.
        """
        accumulated, batch_idx = self.trainer.accumulate_grad_batches, self.trainer.fit_loop.epoch_loop.batch_idx
        first = batch_idx - batch_idx % accumulated
        num_batches = min(accumulated, self.trainer.num_training_batches - first)
        (loss * (accumulated / num_batches)).backward()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW and a schedule over all steps of the run."""
        optimiser = self.optimiser_settings.optimiser(self.model)
        schedule = self.optimiser_settings.scheduler(optimiser, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the config, so that a checkpoint alone tells what made it."""
        checkpoint[CONFIG_KEY] = self.config

    def _generator(self, batch_idx: int) -> torch.Generator:
        return torch.Generator(device=self.device).manual_seed(self._seed(batch_idx))

    @contextmanager
    def _own_randomness(self, batch_idx: int) -> Iterator[None]:
        """Dropout and drop path draw from the global generator; in here what they draw depends on the step alone."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self._seed(batch_idx, 1))
            yield

    def _seed(self, batch_idx: int, *stream: int) -> int:
        """Of 63 bits; another one for every seed, epoch, batch, rank and stream."""
        step = [self.seed, self.current_epoch, batch_idx, self.global_rank, *stream]
        words = np.random.SeedSequence(step).generate_state(2)
        return int(words[0]) << 31 | int(words[1]) >> 1


class SamModule(TaughtModule):
    """Simulated prompts in, the mean loss of all rounds out; validation is mIoU by the evaluation's own protocol.

    A model with a class head is taught the class of each mask as well, and validation counts how often it is right.

    Args:
        model: what is trained; parameters that do not require a gradient stay as they are.
        preset: the simulated prompts.
        loss: the loss of one round.
        optimiser: optimiser and schedule.
        memory: what is computed again instead of being kept.
        clicks: after which numbers of clicks validation measures.
        seed: of the simulated prompts; a step's prompts depend on seed, epoch, batch and rank alone.
        config: the run's config, kept in every checkpoint.
    """

    model: Sam

    def __init__(
        self,
        model: Sam,
        *,
        preset: PromptPreset,
        loss: SegmentationLoss,
        optimiser: OptimiserSettings,
        memory: MemorySettings | None = None,
        clicks: tuple[int, ...] = (1, 3, 5),
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, optimiser=optimiser, memory=memory, seed=seed, config=config)
        self._decode: DecodeImages = model.decode
        self.preset = preset
        self.loss = loss
        self.clicks = clicks
        prompts = [*map(str, clicks), "box"]
        measured = ["miou", *(["class_accuracy"] if model.class_names else [])]
        self.val_means = torch.nn.ModuleDict(
            {f"{name}@{prompt}": MeanMetric() for name in measured for prompt in prompts}
        )
        self.val_calibration = ValidationCalibration()
        self.calibration: Calibration | None = None  # of the last validation

    def measure_sets(self, names: Sequence[str]) -> None:
        """Let validation measure the sets of a mixture each for itself too, as `val/miou@1/NAME`."""
        self.val_means.update({f"{key}/{name}": MeanMetric() for name in names for key in list(self.val_means)})

    def compile_steps(self) -> None:
        """As of every training; and of the decoder the call that the rounds make."""
        super().compile_steps()
        self._decode = compiled_decoder(self.model, num_points=self.preset.num_points)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean over the rounds of the loss of a batch."""
        batch = _with_an_object(batch)
        with self._own_randomness(batch_idx):
            embedding = batch.embedded(self._encode_image, device=self.device)
        generator = self._generator(batch_idx)
        rounds = simulate_rounds(
            self.memory.decoder(self._decode, embedding),
            Truth(masks=batch.masks, valid=batch.valid, inside=inside_image(batch)),
            self.preset,
            generator=generator,
        )
        targets = low_resolution(batch.masks, 4 * embedding.features.shape[-1])  # (B, N, h, w)
        names = self.model.class_names
        classes = class_indices(batch, names) if names else None  # (B, N)
        losses, logged = [], {"pixel": "pixel", "dice": "dice", "iou": "iou"}
        for answer in rounds:
            parts = self.loss(answer.prediction, targets, answer.candidates, classes=classes, generator=generator)
            losses.append(parts.mean_over_images(batch.valid, num_images=len(batch.samples)))
            if answer.prediction.object_logits is not None:
                logged["presence"] = "presence"
            if classes is not None:
                logged["classes"] = "class"
        mean = LossParts(
            **{name: torch.stack([getattr(parts, name) for parts in losses]).mean() for name in vars(losses[0])}
        )
        named = {f"train/{shown}": getattr(mean, name).detach() for name, shown in sorted(logged.items())}
        self.log_dict({"train/loss": mean.total.detach(), **named}, batch_size=len(batch.samples))
        return mean.total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure every object of the batch with clicks and with a box."""
        records = evaluate_clicks(self.model, [batch], clicks=self.clicks)
        for record in records:
            prompt = "box" if record.prompt == "box" else str(record.num_clicks)
            measured = {"miou": record.iou}
            if record.predicted_class is not None:
                measured["class_accuracy"] = float(record.predicted_class == record.class_name)
            for name, value in measured.items():
                for key in (f"{name}@{prompt}", f"{name}@{prompt}/{record.set_name}"):
                    if key in self.val_means:
                        cast(MeanMetric, self.val_means[key]).update(value)
        predicted = torch.tensor([record.predicted_iou for record in records])
        self.val_calibration.update(predicted, torch.tensor([record.iou for record in records]))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all masks, of all ranks, and how well the model knows how good they are."""
        for key, mean in self.val_means.items():
            if "/" not in key:
                self.log(f"val/{key}", mean, prog_bar=key.startswith("miou@"))
            elif cast(MeanMetric, mean).update_called:
                self.log(f"val/{key}", mean)
        self.calibration = self.val_calibration.calibration()
        if self.calibration is not None:  # the same on all ranks
            self.log("val/calibration_error", self.calibration.error, sync_dist=True)
            self.log("val/calibration_bias", self.calibration.bias, sync_dist=True)


def inside_image(batch: Batch) -> Tensor:
    """Where a frame shows its image and not the padding, nowhere in a padded image: (B, 1, S, S) bool."""
    image_size = batch.masks.shape[-1]
    inside = torch.zeros(len(batch.masks), 1, image_size, image_size, dtype=torch.bool, device=batch.masks.device)
    for row, sample in zip(inside, batch.samples, strict=False):  # the others are padding
        height, width = Frame((sample.image.shape[0], sample.image.shape[1]), image_size).input_size
        row[:, :height, :width] = True
    return inside


def _with_an_object(batch: Batch) -> Batch:
    """A batch without any object gets a padded one: its loss is zero, and every rank still has a graph."""
    if batch.masks.shape[1]:
        return batch
    return replace(
        batch,
        masks=batch.masks.new_zeros(len(batch.masks), 1, *batch.masks.shape[-2:]),
        valid=batch.valid.new_zeros(len(batch.masks), 1),
    )
