"""`fit`: a model, a data set and settings in, a folder with checkpoints, logs and pictures out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sam_ft.checks import expect_bool, expect_whole_number
from sam_ft.data.classes import class_names_of, expect_known_classes
from sam_ft.data.embedding_cache.settings import EmbeddingCacheSettings
from sam_ft.data.mixture import set_names_of
from sam_ft.data.splits import DataSplits
from sam_ft.lightning.calibration import CalibrationPicture
from sam_ft.lightning.callbacks import prompted_masks
from sam_ft.lightning.data_module import LoaderSettings, SamDataModule
from sam_ft.lightning.generator_thresholds import write_thresholds
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.monitoring import Monitoring
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.training import FitResult, run_training
from sam_ft.losses.recipes import sam_loss
from sam_ft.losses.segmentation import SegmentationLoss
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import PromptPreset, sam_paper


@dataclass(frozen=True)
class Recipe:
    """How a model is taught.

    Attributes:
        prompts: the simulated prompts.
        loss: the loss of one round.
        optimiser: optimiser and schedule.
        loader: how samples become batches.
        memory: what a step computes again instead of keeping it.
        embedding_cache: where a frozen image encoder's embeddings are kept, for steps without it; None: nowhere.
        compiled: whether steps go through `torch.compile`.
        seed: of the order of samples, augmentation and prompts.
    """

    prompts: PromptPreset = field(default_factory=sam_paper)
    loss: SegmentationLoss = field(default_factory=sam_loss)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    embedding_cache: EmbeddingCacheSettings | None = None
    compiled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        expect_whole_number("seed", self.seed, least=0)
        expect_bool("compile", self.compiled)


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
        model: what is trained; parameters that do not require a gradient stay as they are. One with a class head
            (`sam_ft.models.sam.heads.add_class_head`) is taught the classes of the objects as well.
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
            another model, no validation would happen, Lightning does not take the arguments of its trainer, the
            validation part has objects of classes that the class head does not know, or an embedding cache is asked for
            that the model or the loader does not allow.
        TrainingInterrupted: the user pressed Ctrl-C; the state after the running step is saved.
    """
    recipe, monitoring = recipe or Recipe(), monitoring or Monitoring()
    if model.class_names:
        expect_known_classes(class_names_of(data.val), model.class_names, where="the validation part")
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
    module.measure_sets(set_names_of(data.val))
    if recipe.compiled:
        module.compile_steps()
    data_module = SamDataModule(
        data,
        image_size=model.image_size,
        settings=recipe.loader,
        seed=recipe.seed,
        embedding_cache=recipe.embedding_cache,
    )
    result = run_training(
        module,
        data_module,
        output=output,
        monitoring=monitoring,
        draw=prompted_masks,
        watching=[CalibrationPicture(Path(output) / "calibration.png")],
        trainer=trainer,
        resume=resume,
    )
    if not module.trainer.is_global_zero:
        return result
    thresholds = result.output / "thresholds.json"
    thresholds.unlink(missing_ok=True)  # of the weights before, where a run goes on
    model.to(module.trainer.strategy.root_device)
    fitted = write_thresholds(model, data_module.val_samples, thresholds, num_images=monitoring.thresholds)
    model.to("cpu")
    return replace(result, thresholds=fitted)
