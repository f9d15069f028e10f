"""About how long a training step takes on a machine, from one look at an image and one answer to prompts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from sam_ft.lightning.fitting import Recipe
from sam_ft.lightning.memory.estimate import Setup
from sam_ft.lightning.precision import autocast_dtype
from sam_ft.prompts.presets import InteractivePreset, PromptPreset
from sam_ft.types import FOREGROUND, ImageEmbedding, Prompts

_WITH_GRADIENT = 3.0
"""Forward and backward together, in times of forward alone: two products of matrices come back for one."""
_RUNS = 4
_LONG_S = 5.0
"""After so many seconds there is no further run."""


def step_seconds(setup: Setup) -> float:
    """Seconds of a step, without reading of data: measured on one image, multiplied by images, rounds and batches.

    The model is moved to the setup's device and left there, in training.
    """
    model, device = setup.model.to(setup.device).train(), setup.device
    size, recipe = model.image_size, setup.recipe
    dtype = autocast_dtype(setup.precision)
    is_learning = any(parameter.requires_grad for parameter in model.image_encoder.parameters())
    with torch.no_grad(), nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype):
        images = torch.zeros(1, 3, size, size, device=device)
        encoding = _seconds(lambda: model.encode_image(images), device)
        embedding: ImageEmbedding = model.encode_image(images)
        if isinstance(recipe, Recipe):
            prompts = _clicks(recipe.loader.max_objects, device)
            decoding = _seconds(lambda: model.decode(embedding, prompts, multimask_output=True), device)
            decoding *= _num_rounds(recipe.prompts)
        else:
            decoding = _seconds(lambda: model.classify_pixels(embedding), device)
    image = encoding * (_WITH_GRADIENT if is_learning else 1.0) + decoding * _WITH_GRADIENT
    return image * recipe.loader.batch_size * setup.num_batches


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of the fastest of a few runs: the first one warms up, and others are disturbed by other programs."""
    runs: list[float] = []
    while len(runs) < _RUNS and sum(runs) < _LONG_S:
        runs.append(_once(work, device))
    return min(runs)


def _once(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _clicks(num_objects: int, device: torch.device) -> Prompts:
    """One click on each object of one image."""
    return Prompts(
        points=torch.zeros(1, num_objects, 1, 2, device=device),
        labels=torch.full((1, num_objects, 1), FOREGROUND, device=device),
    )


def _num_rounds(preset: PromptPreset) -> int:
    """Of the longest of the presets that are drawn."""
    if isinstance(preset, InteractivePreset):
        return preset.num_rounds
    return max(each.num_rounds for name, each in preset.presets.items() if preset.weights[name] > 0)
