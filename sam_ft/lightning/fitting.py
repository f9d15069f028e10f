"""`fit`: a model, a data set and settings in, a folder with checkpoints, logs and pictures out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from sam_ft.checkpoints import load_weights, read_state_dict, save_safetensors
from sam_ft.data.splits import DataSplits
from sam_ft.files import atomic_write
from sam_ft.lightning.callbacks import StepProgress, ValidationPictures, checkpoints, early_stopping
from sam_ft.lightning.data_module import LoaderSettings, SamDataModule
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.segmentation import SegmentationLoss, sam_loss
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import InteractivePreset, sam_paper

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a model is taught.

    Attributes:
        prompts: the simulated prompts.
        loss: the loss of one round.
        optimiser: optimiser and schedule.
        loader: how samples become batches.
        seed: of the order of samples, augmentation and prompts.
    """

    prompts: InteractivePreset = field(default_factory=sam_paper)
    loss: SegmentationLoss = field(default_factory=sam_loss)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    seed: int = 0


@dataclass(frozen=True)
class Monitoring:
    """What is watched during training.

    Attributes:
        metric: validation metric of which the best checkpoint is kept, such as `miou@1` or `miou@box`.
        clicks: after which numbers of clicks validation measures.
        patience: validations without improvement after which training stops; None: never.
        pictures: samples in the picture of each validation.
        wandb: `offline`, `online` or `disabled`.
    """

    metric: str = "miou@1"
    clicks: tuple[int, ...] = (1, 3, 5)
    patience: int | None = None
    pictures: int = 3
    wandb: str = "offline"

    def __post_init__(self) -> None:
        known = [*(f"miou@{count}" for count in self.clicks), "miou@box"]
        if self.metric not in known:
            raise ValueError(f"Expected `metric` to be one of {', '.join(known)}, but got {self.metric!r}.")
        if self.wandb not in ("offline", "online", "disabled"):
            raise ValueError(f"Expected `wandb` to be offline, online or disabled, but got {self.wandb!r}.")


@dataclass(frozen=True)
class FitResult:
    """Where a training wrote what, and how good the best checkpoint is."""

    output: Path
    best_checkpoint: Path
    last_checkpoint: Path
    weights: Path  # model.safetensors, of the best checkpoint
    best: float  # its validation metric
    num_steps: int


def fit(
    model: Sam,
    data: DataSplits,
    *,
    output: str | Path,
    recipe: Recipe | None = None,
    monitoring: Monitoring | None = None,
    trainer: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train a model; afterwards it holds the weights of the best checkpoint.

    Args:
        model: what is trained; parameters that do not require a gradient stay as they are.
        data: training and validation parts.
        output: the folder to write to.
        recipe: how the model is taught; None: SAM's paper.
        monitoring: what is watched; None: mIoU after one click.
        trainer: arguments of Lightning's Trainer, such as `max_steps` and `val_check_interval`.
        resume: a checkpoint of ours to go on from.
        config: the run's config, written to `config.yaml` and kept in the checkpoints.

    Returns:
        What was written.

    Raises:
        ValueError: if the folder already holds a run that is not resumed, or the checkpoint does not exist.
    """
    recipe, monitoring = recipe or Recipe(), monitoring or Monitoring()
    output = _prepare_output(Path(output), resume)
    config = dict(config or {})
    with atomic_write(output / "config.yaml") as path:
        path.write_text(OmegaConf.to_yaml(OmegaConf.create(config)), encoding="utf-8")
    module = SamModule(
        model,
        preset=recipe.prompts,
        loss=recipe.loss,
        optimiser=recipe.optimiser,
        clicks=monitoring.clicks,
        seed=recipe.seed,
        config=config,
    )
    data_module = SamDataModule(data, image_size=model.image_size, settings=recipe.loader, seed=recipe.seed)
    kept = checkpoints(output, monitor=monitoring.metric)
    lightning = pl.Trainer(
        **dict(trainer or {}),
        default_root_dir=output,
        logger=_loggers(output, monitoring.wandb, config),
        callbacks=[
            *kept,
            StepProgress(),
            ValidationPictures(data.val, output / "pictures", count=monitoring.pictures),
            *(
                []
                if monitoring.patience is None
                else [early_stopping(monitor=monitoring.metric, patience=monitoring.patience)]
            ),
        ],
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    lightning.fit(module, data_module, ckpt_path=None if resume is None else str(resume), weights_only=True)
    return _finish(lightning, model, output, best=kept[0])


def _prepare_output(output: Path, resume: str | Path | None) -> Path:
    if resume is not None and not Path(resume).exists():
        raise ValueError(f"Expected a checkpoint to resume from, but {resume} does not exist.")
    if resume is None and (output / "last.ckpt").exists():
        raise ValueError(
            f"Expected a new folder to write to, but {output} already holds a run: "
            f"give another output, or resume={output / 'last.ckpt'} to go on."
        )
    output.mkdir(parents=True, exist_ok=True)
    return output


def _loggers(output: Path, wandb: str, config: Mapping[str, Any]) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(output, name="", version="")]
    if wandb != "disabled":
        online = wandb == "online"
        loggers.append(WandbLogger(project="sam-ft", save_dir=output, offline=not online, config=dict(config)))
    return loggers


def _finish(lightning: pl.Trainer, model: Sam, output: Path, *, best: Any) -> FitResult:
    """Write the last state and the best weights."""
    last_path, best_path = output / "last.ckpt", output / "best.ckpt"
    lightning.save_checkpoint(last_path)
    if not best_path.exists():
        raise ValueError(
            f"Expected at least one validation, but training ended after {lightning.global_step} steps without: "
            "lower trainer.val_check_interval."
        )
    load_weights(model, read_state_dict(best_path))
    if lightning.is_global_zero:
        save_safetensors(model, output / "model.safetensors")
    return FitResult(
        output=output,
        best_checkpoint=best_path,
        last_checkpoint=last_path,
        weights=output / "model.safetensors",
        best=float(best.best_model_score),
        num_steps=lightning.global_step,
    )
