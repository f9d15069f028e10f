"""How long a step takes is measured on steps of single images."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.lightning.fitting import Recipe
from sam_ft.lightning.memory.estimate import Setup
from sam_ft.lightning.module import SamModule
from sam_ft.lightning.semantic_fitting import SemanticRecipe
from sam_ft.lightning.step_time import step_seconds
from sam_ft.models.sam.heads import add_semantic_head
from sam_ft.models.sam.variants import build_model

DATA = Synthetic.splits(num_train=5, num_val=1, num_test=0, image_size=64, seed=0)


def test_the_time_of_one_image_is_multiplied_by_the_images_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, batches = [0.0], []

    def training_step(module: SamModule, batch: object, batch_idx: int) -> torch.Tensor:
        batches.append(batch)
        clock[0] += 5.0 if len(batches) == 1 else 1.0
        return next(module.parameters()).sum()

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(SamModule, "training_step", training_step)
    setup = Setup(build_model("vit_tiny", image_size=64), Recipe(loader=LoaderSettings(batch_size=3)))
    assert step_seconds(setup, DATA) == pytest.approx(3 * 1.0)
    assert [len(batch.samples) for batch in batches] == [1, 1, 1, 1]
    assert step_seconds(replace(setup, num_batches=4), DATA) == pytest.approx(12 * 1.0)


def test_the_weights_stay_as_they_are_and_no_gradient_is_left() -> None:
    model = build_model("vit_tiny", image_size=64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert step_seconds(Setup(model, Recipe(loader=LoaderSettings(max_objects=1))), DATA) > 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_of_semantic_segmentation_takes_time_too() -> None:
    model = build_model("vit_tiny", image_size=64)
    names = {name for index in range(len(DATA.train)) for name in DATA.train[index].class_names}
    add_semantic_head(model, sorted(names))
    assert step_seconds(Setup(model, SemanticRecipe()), DATA) > 0
