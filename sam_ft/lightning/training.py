"""What every kind of training does: folder, callbacks, checkpoints, loggers, resuming, the best weights at the end."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from sam_ft.any_checkpoints import AnyModel, save_any_safetensors
from sam_ft.checkpoints import load_weights, read_state_dict
from sam_ft.files import atomic_write
from sam_ft.inference.thresholds import ThresholdFit
from sam_ft.lightning.averaging import AveragedWeights
from sam_ft.lightning.callbacks import Draw, StepProgress, ValidationPictures, checkpoints, early_stopping
from sam_ft.lightning.checkpoint_io import AtomicCheckpointIO
from sam_ft.lightning.data_module import SamDataModule
from sam_ft.lightning.interrupting import SaveOnInterrupt
from sam_ft.lightning.logs import loggers
from sam_ft.lightning.module import TaughtModule
from sam_ft.lightning.monitoring import Watched
from sam_ft.lightning.plateau import lower_on_plateau
from sam_ft.lightning.resuming import steps_done_in
from sam_ft.lightning.validation_interval import with_validation
from sam_ft.models.adapt.lora import has_lora, save_adapter
from sam_ft.models.sam.model import Sam

_logger = logging.getLogger(__name__)

_HALF_WEIGHTS = ("bf16-true", "16-true")


@dataclass(frozen=True)
class FitResult:
    """Where a training wrote what, and how good the best checkpoint is."""

    output: Path
    best_checkpoint: Path
    last_checkpoint: Path
    weights: Path  # model.safetensors, of the best checkpoint
    best: float  # its validation metric
    num_steps: int
    thresholds: ThresholdFit | None = None  # of the mask generator, for the weights; None: not fitted


def run_training(
    module: TaughtModule,
    data_module: SamDataModule,
    *,
    output: str | Path,
    monitoring: Watched,
    draw: Draw,
    watching: Sequence[pl.Callback] = (),
    trainer: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
) -> FitResult:
    """What every kind of training does.

    Args:
        module: what is trained, and how.
        data_module: by which data.
        output: the folder to write to.
        monitoring: what is watched.
        draw: what the pictures of a validation show.
        watching: further callbacks, which look at the model before pictures and averages do.
        trainer: as in `sam_ft.lightning.fit`.
        resume: as there.

    Raises:
        ValueError: as there, but for what concerns the data.
        TrainingInterrupted: the user pressed Ctrl-C.
    """
    output, arguments = Path(output), with_validation(trainer or {})
    _expect_float32_weights(arguments)
    ema = module.optimiser_settings.ema
    _expect_new_folder(output, resume)
    done = None if resume is None else steps_done_in(resume, module.model, averages=ema is not None)
    module.model.train()
    kept = checkpoints(output, monitor=monitoring.metric)
    shown = [monitoring.pictures] * (monitoring.pictures > 0)
    callbacks = [
        *kept,
        StepProgress(),
        *watching,
        *(ValidationPictures(data_module.val_samples, output / "pictures", count=count, draw=draw) for count in shown),
        *([] if ema is None else [AveragedWeights(ema)]),  # after the pictures
        *early_stopping(monitor=monitoring.metric, patience=monitoring.patience),
        *lower_on_plateau(module.optimiser_settings.schedule, monitor=monitoring.metric),
        SaveOnInterrupt(output / "last.ckpt"),
    ]
    lightning = _trainer(arguments, output=output, callbacks=callbacks)
    config = module.config
    with ExitStack() as stack:
        stack.enter_context(_folder(output))
        data_module.fill_embedding_cache(
            module.model, device=lightning.strategy.root_device, precision=lightning.precision
        )
        made = stack.enter_context(loggers(output, wandb=monitoring.wandb, config=config, steps_done=done))
        if lightning.is_global_zero:
            with atomic_write(output / "config.yaml") as path:
                path.write_text(OmegaConf.to_yaml(OmegaConf.create(config)), encoding="utf-8")
        lightning.loggers = made
        if done is not None and lightning.is_global_zero:
            _logger.info("Going on after %d steps, from %s.", done, resume)
        lightning.fit(module, data_module, ckpt_path=None if resume is None else str(resume), weights_only=True)
        return _finish(lightning, module.model, output, best=kept[0])


def _expect_float32_weights(arguments: Mapping[str, Any]) -> None:
    precision = str(arguments.get("precision"))
    if precision in _HALF_WEIGHTS:
        raise ValueError(
            f"Expected `trainer.precision` to keep the weights in 32 bits, but got {precision}, in which small steps "
            f"are lost: give {precision.removesuffix('-true')}-mixed."
        )


def _expect_new_folder(output: Path, resume: str | Path | None) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"Expected a folder to write to, but {output} is a file.")
    goes_on = resume is not None and Path(resume).resolve().parent == output.resolve()
    if (output / "last.ckpt").exists() and not goes_on:
        raise ValueError(
            f"Expected a new folder to write to, but {output} already holds a run: "
            f"give another output, or resume={output / 'last.ckpt'} to go on."
        )


_DDP = "ddp_find_unused_parameters_true"


def _trainer(arguments: dict[str, Any], *, output: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer; what it says about its arguments is a ValueError.

    Under DDP it looks for parameters without a gradient, since no step uses all: those of the masks that a round does
    not ask for, or of the mask prompt where there is none.
    """

    def built(**changed: Any) -> pl.Trainer:
        return pl.Trainer(
            **{**arguments, **changed},
            default_root_dir=output,
            logger=False,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            enable_model_summary=False,
            use_distributed_sampler=False,
        )

    try:
        strategy = arguments.get("strategy", "auto")
        if strategy == "ddp" or (strategy == "auto" and built().world_size > 1):
            return built(strategy=_DDP)
        return built()
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


def _finish(lightning: pl.Trainer, model: AnyModel, output: Path, *, best: Any) -> FitResult:
    """Write the best weights, and load them."""
    last_path, best_path = output / "last.ckpt", output / "best.ckpt"
    if not best_path.exists():
        raise ValueError(
            f"Expected at least one validation, but training ended after {lightning.global_step} steps without: "
            "see trainer.val_check_interval and trainer.limit_val_batches."
        )
    load_weights(model, read_state_dict(best_path, merge_lora=False))
    if lightning.is_global_zero:
        if isinstance(model, Sam) and has_lora(model):
            save_adapter(model, output / "adapter")
        save_any_safetensors(model, output / "model.safetensors")
    return FitResult(
        output=output,
        best_checkpoint=best_path,
        last_checkpoint=last_path,
        weights=output / "model.safetensors",
        best=float(best.best_model_score),
        num_steps=lightning.global_step,
    )
