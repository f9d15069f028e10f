"""What a model may be taught, by the names that configs/task has: how a config says to, and what does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from sam_ft.any_checkpoints import AnyModel
from sam_ft.data.embedding_cache.settings import EmbeddingCacheSettings
from sam_ft.data.splits import DataSplits
from sam_ft.lightning import program
from sam_ft.lightning.fitting import Recipe, fit
from sam_ft.lightning.heads import give_head
from sam_ft.lightning.memory.estimate import Setup
from sam_ft.lightning.mistakes import whole_number
from sam_ft.lightning.monitoring import Monitoring
from sam_ft.lightning.semantic_fitting import SemanticMonitoring, SemanticRecipe, fit_semantic
from sam_ft.lightning.training import FitResult
from sam_ft.lightning.unet import unet_of
from sam_ft.losses.segmentation import SegmentationLoss
from sam_ft.losses.semantic import SemanticLoss
from sam_ft.models.sam.model import Sam

Loss = TypeVar("Loss", SegmentationLoss, SemanticLoss)


@dataclass(frozen=True)
class Task:
    """What a model may be taught: how the config says to, and what does it."""

    recipe_of: Callable[[DictConfig], Recipe | SemanticRecipe]
    fit: Callable[..., FitResult]
    monitoring: type[Monitoring] | type[SemanticMonitoring]
    model_of: Callable[[DictConfig, DataSplits], AnyModel]

    def monitoring_of(self, config: DictConfig) -> Monitoring | SemanticMonitoring:
        """What the config says to watch.

        Raises:
            ValueError: it is of another task.
        """
        monitoring = instantiate(config.monitoring)
        if not isinstance(monitoring, self.monitoring):
            known = {Monitoring: "default", SemanticMonitoring: "semantic"}[self.monitoring]
            raise ValueError(f"Expected monitoring={known} for task={config.task}, but got that of another task.")
        return monitoring


def sam_of(config: DictConfig, data: DataSplits) -> Sam:
    """The SAM of a config, with the head that the task needs for the classes of the data.

    Raises:
        ValueError: the config chooses the U-Net, or what building the model raises.
    """
    if config.model.name == "unet":
        raise ValueError(f"Expected task=unet for a U-Net, which takes no prompts, but got task={config.task}.")
    model = program.model_of(config)
    give_head(model, data, task=config.task, classes=config.classes)
    return model


def recipe_of(config: DictConfig) -> Recipe:
    """How the config says to teach a model masks of prompted objects."""
    return Recipe(
        prompts=instantiate(config.prompts),
        loss=replace(_loss_of(config, SegmentationLoss), class_weight=config.class_weight),
        optimiser=instantiate(config.optimiser),
        loader=instantiate(config.loader),
        memory=instantiate(config.memory),
        embedding_cache=_cache_of(config),
        compiled=config.compile,
        seed=config.seed,
    )


def semantic_recipe_of(config: DictConfig) -> SemanticRecipe:
    """How the config says to teach a model the class of each pixel."""
    return SemanticRecipe(
        loss=_loss_of(config, SemanticLoss),
        optimiser=instantiate(config.optimiser),
        loader=instantiate(config.loader),
        memory=instantiate(config.memory),
        embedding_cache=_cache_of(config),
        compiled=config.compile,
        seed=config.seed,
    )


def unet_recipe_of(config: DictConfig) -> SemanticRecipe:
    """How the config says to teach a U-Net.

    Raises:
        ValueError: it asks for an embedding cache.
    """
    recipe = semantic_recipe_of(config)
    if recipe.embedding_cache is not None:
        raise ValueError("Expected embedding_cache.folder=null for task=unet, since all of a U-Net learns.")
    return recipe


def _loss_of(config: DictConfig, kind: type[Loss]) -> Loss:
    """The loss of a config.

    Raises:
        ValueError: it is of another task.
    """
    loss = instantiate(config.loss)
    if not isinstance(loss, kind):
        known = {SegmentationLoss: "loss=sam", SemanticLoss: "loss=semantic"}[kind]
        raise ValueError(f"Expected a `loss` for task={config.task}, such as {known}, but got {config.loss._target_}.")
    return loss


def _cache_of(config: DictConfig) -> EmbeddingCacheSettings | None:
    """The embedding cache of a config; None without a folder.

    Raises:
        ValueError: something else is said of it.
    """
    given = config.get("embedding_cache")
    if given is None or given.folder is not None:
        return None if given is None else instantiate(given)
    usual = EmbeddingCacheSettings(folder="")
    if (given.views, given.dtype) != (usual.views, usual.dtype):
        raise ValueError("Expected embedding_cache.folder beside embedding_cache.views or .dtype, but got none.")
    return None


def setup_of(config: DictConfig, *, model: AnyModel, recipe: Recipe | SemanticRecipe) -> Setup:
    """What the memory of a training step depends on."""
    on_gpu = config.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return Setup(
        model=model,
        recipe=recipe,
        precision=str(config.trainer.precision),
        device=torch.device("cuda" if on_gpu else "cpu"),
        num_batches=whole_number(config, "trainer.accumulate_grad_batches", least=1),
        num_processes=max(1, devices) if isinstance(devices := config.trainer.devices, int) and not on_gpu else 1,
    )


TASKS = {
    "prompts": Task(recipe_of, fit, Monitoring, sam_of),
    "semantic": Task(semantic_recipe_of, fit_semantic, SemanticMonitoring, sam_of),
    "unet": Task(unet_recipe_of, fit_semantic, SemanticMonitoring, unet_of),
}
"""By the names that configs/task has."""
