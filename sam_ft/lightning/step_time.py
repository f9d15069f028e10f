"""About how long a training step takes on this machine, from steps of single images."""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext
from dataclasses import replace
from typing import cast

import torch

from sam_ft.data.splits import DataSplits
from sam_ft.lightning.data_module import SamDataModule
from sam_ft.lightning.fitting import Recipe
from sam_ft.lightning.memory.estimate import Setup
from sam_ft.lightning.module import SamModule, TaughtModule
from sam_ft.lightning.precision import autocast_dtype
from sam_ft.lightning.semantic_module import SemanticModule
from sam_ft.models.sam.model import Sam
from sam_ft.types import Batch

_RUNS = 4
_LONG_S = 10.0
"""After so many seconds there is no further run."""


def step_seconds(setup: Setup, data: DataSplits) -> float:
    """Seconds of a step, its reading of data included and the optimiser's own work not.

    A few images are read, seen and learnt from, one after another, without a change of the weights. The first one warms
    up and does not count, where there is time for others. Their mean is multiplied by the images of a step.

    Args:
        setup: the training; its model is moved to the setup's device and left there.
        data: its first training images are taken, in the order of the training.
    """
    recipe = setup.recipe
    module = _module(setup).to(setup.device).train()
    data_module = SamDataModule(
        data,
        image_size=setup.model.image_size,
        settings=replace(recipe.loader, batch_size=1, num_workers=0),
        seed=recipe.seed,
        every_object=not isinstance(recipe, Recipe),
    )
    batches = iter(data_module.train_dataloader())
    runs: list[float] = []
    while len(runs) < _RUNS and sum(runs) < _LONG_S:
        started = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        _learn(module, batch.to(setup.device), setup)
        runs.append(time.perf_counter() - started)
    counted = runs[1:] or runs
    return sum(counted) / len(counted) * recipe.loader.batch_size * setup.num_batches


def _module(setup: Setup) -> TaughtModule:
    recipe, model = setup.recipe, setup.model
    if isinstance(recipe, Recipe):
        sam = cast(Sam, model)  # nothing else takes prompts
        return SamModule(sam, preset=recipe.prompts, loss=recipe.loss, optimiser=recipe.optimiser, memory=recipe.memory)
    return SemanticModule(model, loss=recipe.loss, optimiser=recipe.optimiser, memory=recipe.memory)


def _learn(module: TaughtModule, batch: Batch, setup: Setup) -> None:
    """Loss and gradient of a batch; the gradient is thrown away."""
    dtype = autocast_dtype(setup.precision)
    with warnings.catch_warnings(), nullcontext() if dtype is None else torch.autocast(setup.device.type, dtype=dtype):
        warnings.filterwarnings("ignore", message=".*self.log.*")  # nobody logs these steps
        loss = module.training_step(batch, 0)
    loss.backward()
    module.zero_grad(set_to_none=True)
    if setup.device.type == "cuda":
        torch.cuda.synchronize(setup.device)
