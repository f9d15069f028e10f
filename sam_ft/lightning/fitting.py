"""`fit`: a model, a data set and settings in, a folder with checkpoints, logs and pictures out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from sam_ft.checkpoints import load_weights, read_state_dict, save_safetensors
from sam_ft.checks import expect_whole_number
from sam_ft.data.splits import DataSplits
from sam_ft.files import atomic_write
from sam_ft.lightning.averaging import AveragedWeights
from sam_ft.lightning.callbacks import StepProgress, ValidationPictures, checkpoints, early_stopping
from sam_ft.lightning.checkpoint_io import AtomicCheckpointIO
from sam_ft.lightning.data_module import LoaderSettings, SamDataModule
from sam_ft.lightning.logs import WANDB_MODES, loggers
from sam_ft.lightning.memory import MemorySettings
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.recipes import sam_loss
from sam_ft.losses.segmentation import SegmentationLoss
from sam_ft.models.adapt.lora import SCALING, has_lora, save_adapter
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import PromptPreset, sam_paper

_VALIDATION_INTERVAL = 100
"""Batches between validations where nothing else is said."""


@dataclass(frozen=True)
class Recipe:
    """How a model is taught.

    Attributes:
        prompts: the simulated prompts.
        loss: the loss of one round.
        optimiser: optimiser and schedule.
        loader: how samples become batches.
        memory: what a step computes again instead of keeping it.
        compiled: whether steps go through `torch.compile`.
        seed: of the order of samples, augmentation and prompts.
    """

    prompts: PromptPreset = field(default_factory=sam_paper)
    loss: SegmentationLoss = field(default_factory=sam_loss)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    compiled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        expect_whole_number("seed", self.seed, least=0)
        if not isinstance(self.compiled, bool):
            raise ValueError(f"Expected `compile` to be true or false, but got {self.compiled!r}.")


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
        for count in self.clicks:
            expect_whole_number("clicks", count, least=1)
        known = [*(f"miou@{count}" for count in self.clicks), "miou@box"]
        if self.metric not in known:
            raise ValueError(f"Expected `metric` to be one of {', '.join(known)}, but got {self.metric!r}.")
        if self.wandb not in WANDB_MODES:
            raise ValueError(f"Expected `wandb` to be one of {', '.join(WANDB_MODES)}, but got {self.wandb!r}.")
        expect_whole_number("pictures", self.pictures, least=0)
        if self.patience is not None:
            expect_whole_number("patience", self.patience, least=1)


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
    """Train a model; afterwards it holds the weights of the best checkpoint, LoRA still beside them.

    Args:
        model: what is trained; parameters that do not require a gradient stay as they are.
        data: training and validation parts.
        output: the folder to write to.
        recipe: how the model is taught; None: SAM's paper.
        monitoring: what is watched; None: mIoU after one click.
        trainer: arguments of Lightning's Trainer, such as `max_steps` and `val_check_interval`; without the latter,
            validation comes after every 100 steps and, in a shorter training, at its end.
        resume: a checkpoint of ours to go on from.
        config: the run's config, written to `config.yaml` and kept in the checkpoints.

    Returns:
        What was written.

    Raises:
        ValueError: if the folder already holds a run that is not resumed, the checkpoint does not exist or is of
            another model, no validation would happen, or Lightning does not take the arguments of its trainer.
    """
    recipe, monitoring = recipe or Recipe(), monitoring or Monitoring()
    output, config, arguments = Path(output), dict(config or {}), _with_validation(trainer or {})
    _expect_new_folder(output, resume)
    steps_done = None if resume is None else _steps_done(resume, model, averages=recipe.optimiser.ema is not None)
    model.train()
    module = SamModule(
        model,
        preset=recipe.prompts,
        loss=recipe.loss,
        optimiser=recipe.optimiser,
        memory=recipe.memory,
        clicks=monitoring.clicks,
        seed=recipe.seed,
        config=config,
    )
    if recipe.compiled:
        module.compile_steps()
    data_module = SamDataModule(data, image_size=model.image_size, settings=recipe.loader, seed=recipe.seed)
    kept = checkpoints(output, monitor=monitoring.metric)
    watching = [
        *kept,
        StepProgress(),
        *([ValidationPictures(data.val, output / "pictures", count=monitoring.pictures)] * (monitoring.pictures > 0)),
        *([] if recipe.optimiser.ema is None else [AveragedWeights(recipe.optimiser.ema)]),  # after the pictures
        *early_stopping(monitor=monitoring.metric, patience=monitoring.patience),
    ]
    lightning = _trainer(arguments, output=output, callbacks=watching)
    with _folder(output), loggers(output, wandb=monitoring.wandb, config=config, steps_done=steps_done) as made:
        if lightning.is_global_zero:
            with atomic_write(output / "config.yaml") as path:
                path.write_text(OmegaConf.to_yaml(OmegaConf.create(config)), encoding="utf-8")
        lightning.loggers = made
        lightning.fit(module, data_module, ckpt_path=None if resume is None else str(resume), weights_only=True)
        return _finish(lightning, model, output, best=kept[0])


def _expect_new_folder(output: Path, resume: str | Path | None) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"Expected a folder to write to, but {output} is a file.")
    goes_on = resume is not None and Path(resume).resolve().parent == output.resolve()
    if (output / "last.ckpt").exists() and not goes_on:
        raise ValueError(
            f"Expected a new folder to write to, but {output} already holds a run: "
            f"give another output, or resume={output / 'last.ckpt'} to go on."
        )


def _with_validation(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the trainer, by which at least one validation happens, since that chooses the best checkpoint.

    Raises:
        ValueError: They leave none.
    """
    arguments = dict(given)
    if arguments.get("limit_val_batches") == 0:
        raise ValueError("Expected at least one validation, but trainer.limit_val_batches=0 leaves none.")
    num_steps = expect_whole_number("trainer.max_steps", arguments.get("max_steps", -1), least=-1)
    num_batches = num_steps * arguments.get("accumulate_grad_batches", 1)
    if all(arguments.get(name) is None for name in ("val_check_interval", "check_val_every_n_epoch")):
        for name in ("val_check_interval", "check_val_every_n_epoch"):
            arguments.pop(name, None)
        if num_steps > 0:
            interval = min(_VALIDATION_INTERVAL, num_batches)
            arguments |= {"check_val_every_n_epoch": None, "val_check_interval": interval}
    interval = arguments.get("val_check_interval", 1.0)
    if not isinstance(interval, (int, float)) or interval <= 0:
        raise ValueError(f"Expected `trainer.val_check_interval` above 0, but got {interval!r}.")
    counts_batches = isinstance(interval, int) and arguments.get("check_val_every_n_epoch", 1) is None
    if counts_batches and 0 <= num_batches < interval:
        raise ValueError(
            f"Expected at least one validation, but trainer.val_check_interval={interval} batches are more than the "
            f"{num_batches} of trainer.max_steps={num_steps}: give a smaller interval, or null."
        )
    return arguments


def _steps_done(resume: str | Path, model: Sam, *, averages: bool) -> int:
    """How far a checkpoint has come, after a look at whether it is one of ours and of this model."""
    if not Path(resume).is_file():
        raise ValueError(f"Expected a checkpoint to resume from, but {resume} does not exist.")
    try:
        weights = read_state_dict(resume, merge_lora=False)
        if has_lora(model) and weights.get(SCALING) != model.state_dict()[SCALING]:
            raise ValueError("give the same adapt=lora with the same rank and alpha.")
        load_weights(model, weights)  # the whole state is Lightning's task
    except ValueError as err:
        raise ValueError(f"Expected a checkpoint of this model to resume from, but {resume} is none: {err}") from err
    content = torch.load(resume, map_location="cpu", weights_only=True) if Path(resume).suffix == ".ckpt" else {}
    if "loops" not in content:
        raise ValueError(
            f"Expected a last.ckpt or best.ckpt to resume from, but {resume} holds weights alone: "
            f"model.weights={resume} starts a new run from them."
        )
    num_trained = sum(len(group["params"]) for state in content["optimizer_states"] for group in state["param_groups"])
    num_to_train = sum(parameter.requires_grad for parameter in model.parameters())
    if num_trained != num_to_train:
        raise ValueError(
            f"Expected a checkpoint that trained the same parts of the model, but {resume} trained {num_trained} "
            f"tensors and this run trains {num_to_train}: give the same adapt=..."
        )
    if ("averaging_state" in content) != averages:
        raise ValueError(
            f"Expected the same averaging of weights, but {resume} was trained {'without' if averages else 'with'} it: "
            "give the same optimiser.ema=..."
        )
    return int(content["global_step"])


def _trainer(arguments: dict[str, Any], *, output: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer; what it says about its arguments is a ValueError."""
    try:
        return pl.Trainer(
            **arguments,
            default_root_dir=output,
            logger=False,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (TypeError, MisconfigurationException) as err:
        raise ValueError(f"Expected settings of `trainer` that Lightning's Trainer takes, but: {err}") from err


@contextmanager
def _folder(output: Path) -> Iterator[None]:
    """Make the folder; a mistake that is noticed before there is a checkpoint takes a new one away again."""
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ValueError(f"Expected a folder to write to, but {output} cannot be made: {err}.") from err
    try:
        yield
    except Exception:
        if made and not (output / "last.ckpt").exists():
            shutil.rmtree(output, ignore_errors=True)
            with suppress(OSError):  # somebody else may have put something there
                for folder in made[1:]:
                    folder.rmdir()
        raise


def _finish(lightning: pl.Trainer, model: Sam, output: Path, *, best: Any) -> FitResult:
    """Write the best weights, and load them."""
    last_path, best_path = output / "last.ckpt", output / "best.ckpt"
    if not best_path.exists():
        raise ValueError(
            f"Expected at least one validation, but training ended after {lightning.global_step} steps without: "
            "see trainer.val_check_interval and trainer.limit_val_batches."
        )
    load_weights(model, read_state_dict(best_path, merge_lora=False))
    if lightning.is_global_zero:
        if has_lora(model):
            save_adapter(model, output / "adapter")
        save_safetensors(model, output / "model.safetensors")
    return FitResult(
        output=output,
        best_checkpoint=best_path,
        last_checkpoint=last_path,
        weights=output / "model.safetensors",
        best=float(best.best_model_score),
        num_steps=lightning.global_step,
    )
