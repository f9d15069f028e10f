"""How long a step takes is measured on parts of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sam_ft.lightning import step_time
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.lightning.fitting import Recipe
from sam_ft.lightning.memory.estimate import Setup
from sam_ft.lightning.step_time import step_seconds
from sam_ft.models.sam.variants import build_model


def test_images_rounds_and_batches_multiply_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def seconds(work: object, device: torch.device) -> float:
        calls.append(work)
        work()  # type: ignore[operator]
        return 2.0 if len(calls) % 2 else 0.5  # the encoder, then the decoder

    monkeypatch.setattr(step_time, "_seconds", seconds)
    model = build_model("vit_tiny", image_size=64)
    recipe = Recipe(loader=LoaderSettings(batch_size=2, max_objects=3))
    setup = Setup(model=model, recipe=recipe)
    rounds = recipe.prompts.num_rounds
    assert step_seconds(setup) == pytest.approx(2 * (3 * 2.0 + 3 * 0.5 * rounds))
    assert step_seconds(replace(setup, num_batches=4)) == pytest.approx(8 * (3 * 2.0 + 3 * 0.5 * rounds))
    model.image_encoder.requires_grad_(False)
    assert step_seconds(setup) == pytest.approx(2 * (2.0 + 3 * 0.5 * rounds))


def test_a_step_takes_some_time() -> None:
    setup = Setup(model=build_model("vit_tiny", image_size=64), recipe=Recipe())
    assert 0 < step_seconds(setup) < 600
