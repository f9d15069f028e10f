"""`fit_semantic`: a model is taught the class of each pixel without prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam_ft.any_checkpoints import AnyModel
from sam_ft.checks import expect_bool, expect_whole_number
from sam_ft.data.classes import class_names_of, expect_known_classes
from sam_ft.data.embedding_cache.settings import EmbeddingCacheSettings
from sam_ft.data.mixture import set_names_of
from sam_ft.data.splits import DataSplits
from sam_ft.lightning.data_module import LoaderSettings, SamDataModule
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.monitoring import expect_usable
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.semantic_module import SemanticModule, predicted_classes
from sam_ft.lightning.training import FitResult, run_training
from sam_ft.losses.semantic import SemanticLoss

METRICS = ("miou", "pixel_accuracy")


@dataclass(frozen=True)
class SemanticRecipe:
    """How a model is taught.

    Attributes:
        loss: compares the classes of the pixels with the truth.
        optimiser: optimiser and schedule.
        loader: how samples become batches; every object is seen, whatever `max_objects` says.
        memory: what a step computes again instead of keeping it; there are no rounds.
        embedding_cache: where a frozen image encoder's embeddings are kept, for steps without it; None: nowhere.
        compiled: whether steps go through `torch.compile`.
        seed: of the order of samples and augmentation.
    """

    loss: SemanticLoss = field(default_factory=SemanticLoss)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    embedding_cache: EmbeddingCacheSettings | None = None
    compiled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        expect_whole_number("seed", self.seed, least=0)
        expect_bool("compile", self.compiled)
        if self.memory.checkpoint_rounds:
            raise ValueError(
                "Expected `checkpoint_rounds` to be false in semantic segmentation, which has no rounds of prompts."
            )


@dataclass(frozen=True)
class SemanticMonitoring:
    """What is watched during training.

    Attributes:
        metric: validation metric of which the best checkpoint is kept, one of `METRICS`.
        patience: validations without improvement after which training stops; None: never.
        pictures: samples in the picture of each validation.
        wandb: `offline`, `online` or `disabled`.
    """

    metric: str = "miou"
    patience: int | None = None
    pictures: int = 3
    wandb: str = "offline"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"Expected `metric` to be one of {', '.join(METRICS)}, but got {self.metric!r}.")
        expect_usable(self)


def fit_semantic(
    model: AnyModel,
    data: DataSplits,
    *,
    output: str | Path,
    recipe: SemanticRecipe | None = None,
    monitoring: SemanticMonitoring | None = None,
    trainer: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> FitResult:
    """Train a model that tells the class of each pixel; else as `sam_ft.lightning.fit`.

    It is a SAM with a semantic head (`sam_ft.models.sam.heads.add_semantic_head`), or `sam_ft.models.unet.UNet`.

    Raises:
        ValueError: the model has no semantic head, the validation part has objects of classes that it does not know,
            or what `fit` raises.
    """
    recipe, monitoring = recipe or SemanticRecipe(), monitoring or SemanticMonitoring()
    if not model.pixel_class_names:
        raise ValueError("Expected a model with a semantic head, but it has none: call `add_semantic_head` before.")
    expect_known_classes(class_names_of(data.val), model.pixel_class_names, where="the validation part")
    module = SemanticModule(
        model, loss=recipe.loss, optimiser=recipe.optimiser, memory=recipe.memory, seed=recipe.seed, config=config
    )
    module.measure_sets(set_names_of(data.val))
    if recipe.compiled:
        module.compile_steps()
    data_module = SamDataModule(
        data,
        image_size=model.image_size,
        settings=recipe.loader,
        seed=recipe.seed,
        every_object=True,
        embedding_cache=recipe.embedding_cache,
    )
    return run_training(
        module,
        data_module,
        output=output,
        monitoring=monitoring,
        draw=predicted_classes,
        trainer=trainer,
        resume=resume,
    )
