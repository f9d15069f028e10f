from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from sam_ft.data.collation import Prepare, collate, whole_batches
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.asking.interactive import evaluate_clicks
from sam_ft.evaluation.records.summaries import summarise
from sam_ft.lightning.module import CONFIG_KEY, SamModule, inside_image
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.recipes import sam_loss
from sam_ft.models.sam.heads import add_class_head
from sam_ft.models.sam.model import Sam
from sam_ft.prompts.presets import sam_paper
from sam_ft.types import Batch, Sample

SIZE = 64


def module_of(model: Sam, *, seed: int = 0) -> SamModule:
    module = SamModule(
        model,
        preset=sam_paper(num_clicks=2, num_mask_only=1),
        loss=sam_loss(),
        optimiser=OptimiserSettings(),
        clicks=(1, 2),
        seed=seed,
        config={"seed": seed},
    )
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    return module


def batch_of(samples: Synthetic) -> Batch:
    return collate([Prepare(SIZE)(sample) for sample in samples])


def loss_and_gradients(module: SamModule, batch: Batch, batch_idx: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    module.zero_grad()
    loss = module.training_step(batch, batch_idx)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in module.model.named_parameters() if p.grad is not None}
    return loss.detach(), gradients


def validated(module: SamModule, loader: Any) -> Mapping[str, float]:
    quiet = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    (logged,) = quiet.validate(module, loader, verbose=False)
    return logged


def test_a_training_step_teaches_every_part(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    loss, gradients = loss_and_gradients(module_of(tiny_model()), batch_of(samples))
    assert loss > 0 and torch.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    for part in ("image_encoder.", "prompt_encoder.", "mask_decoder."):
        assert any(name.startswith(part) and gradient.any() for name, gradient in gradients.items())


def test_a_batch_without_objects_costs_nothing_and_has_a_graph(tiny_model: Callable[..., Sam]) -> None:
    empty = Sample(
        image=torch.zeros(SIZE, SIZE, 3, dtype=torch.uint8),
        masks=torch.zeros(0, SIZE, SIZE, dtype=torch.bool),
        class_names=(),
        name="empty",
    )
    loss, gradients = loss_and_gradients(module_of(tiny_model()), collate([Prepare(SIZE)(empty)] * 2))
    assert loss == 0
    assert gradients
    assert not any(gradient.any() for gradient in gradients.values())


def test_the_same_seed_gives_the_same_loss_bit_by_bit(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    batch = batch_of(samples)
    first, again, other = (
        [module_of(tiny_model(), seed=seed).training_step(batch, index).item() for index in range(2)]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other
    assert first[0] != first[1]  # the prompts of another step are others


def test_prompts_do_not_depend_on_the_global_generator(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    module, batch = module_of(tiny_model()), batch_of(samples)
    torch.manual_seed(1)
    first = module.training_step(batch, 0)
    torch.manual_seed(2)
    assert torch.equal(first, module.training_step(batch, 0))


def test_padded_objects_change_neither_loss_nor_gradients(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    batch = batch_of(samples)
    missing = (len(samples), 2)
    padded = replace(
        batch,
        masks=torch.cat([batch.masks, torch.rand(*missing, SIZE, SIZE) > 0.5], dim=1),
        valid=torch.cat([batch.valid, torch.zeros(missing, dtype=torch.bool)], dim=1),
    )
    module = module_of(tiny_model())
    loss, gradients = loss_and_gradients(module, batch)
    padded_loss, padded_gradients = loss_and_gradients(module, padded)
    torch.testing.assert_close(padded_loss, loss)
    assert gradients.keys() == padded_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(padded_gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_padded_images_change_neither_loss_nor_gradients(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    batch = batch_of(samples)
    noise = torch.rand(2, *batch.masks.shape[1:]) > 0.5
    padded = replace(
        batch,
        images=torch.cat([batch.images, torch.randn(2, *batch.images.shape[1:])]),
        masks=torch.cat([batch.masks, noise]),
        valid=torch.cat([batch.valid, torch.zeros(2, batch.valid.shape[1], dtype=torch.bool)]),
    )
    module = module_of(tiny_model())
    loss, gradients = loss_and_gradients(module, batch)
    padded_loss, padded_gradients = loss_and_gradients(module, padded)
    torch.testing.assert_close(padded_loss, loss)
    for name, gradient in gradients.items():
        torch.testing.assert_close(padded_gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_validation_measures_what_the_evaluation_measures(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    model = tiny_model()
    module = module_of(model)
    loader = whole_batches(samples, image_size=SIZE, batch_size=2)
    logged = validated(module, loader)
    summary = summarise(evaluate_clicks(model, loader, clicks=(1, 2)))  # type: ignore[arg-type]
    mious = {"val/miou@1", "val/miou@2", "val/miou@box"}
    assert logged.keys() == {*mious, "val/calibration_error", "val/calibration_bias"}
    for name in mious:
        assert logged[name] == pytest.approx(summary[name.removeprefix("val/")], abs=1e-6)
    assert summary["miou@box"] > 0


CLASSES = ("ellipse", "nucleus", "polygon")


def test_a_class_head_adds_its_loss_and_learns(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    batch = batch_of(samples)
    plain, _ = loss_and_gradients(module_of(tiny_model()), batch)
    model = tiny_model()
    add_class_head(model, CLASSES)
    module, logged = module_of(model), {}
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    loss, gradients = loss_and_gradients(module, batch)
    assert logged["train/class"] == pytest.approx(math.log(3), abs=0.3)  # it guesses
    torch.testing.assert_close(loss, plain + logged["train/class"])
    assert all(gradients[f"mask_decoder.class_head.mlp.layers.{layer}.weight"].any() for layer in (0, 1))
    one = [batch_of([sample]) for sample in samples]  # type: ignore[arg-type]
    module.loss = replace(module.loss, class_weight=0.0)
    assert not any(
        gradient.any() for name, gradient in loss_and_gradients(module, one[0])[1].items() if "class_head" in name
    )


def test_validation_counts_how_often_the_class_is_told(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    model = tiny_model()
    add_class_head(model, CLASSES)
    loader = whole_batches(samples, image_size=SIZE, batch_size=2)
    logged = validated(module_of(model), loader)
    summary = summarise(evaluate_clicks(model, loader, clicks=(1, 2)))  # type: ignore[arg-type]
    for prompt in ("1", "2", "box"):
        assert logged[f"val/class_accuracy@{prompt}"] == pytest.approx(summary[f"class_accuracy@{prompt}"], abs=1e-6)


def test_an_object_of_an_unknown_class_is_refused(tiny_model: Callable[..., Sam], samples: Synthetic) -> None:
    model = tiny_model()
    add_class_head(model, ["polygon"])
    with pytest.raises(ValueError, match=r"\(polygon\), but synthetic_00000 has ellipse"):
        module_of(model).training_step(batch_of(samples), 0)


def test_a_checkpoint_keeps_the_config(tiny_model: Callable[..., Sam]) -> None:
    checkpoint: dict[str, object] = {}
    module_of(tiny_model(), seed=5).on_save_checkpoint(checkpoint)
    assert checkpoint[CONFIG_KEY] == {"seed": 5}


def test_inside_is_where_the_frame_shows_the_image() -> None:
    wide = Sample(
        image=torch.zeros(20, 40, 3, dtype=torch.uint8),
        masks=torch.ones(1, 20, 40, dtype=torch.bool),
        class_names=("all",),
        name="wide",
    )
    batch = collate([Prepare(SIZE)(wide)])
    inside = inside_image(batch)
    assert inside.shape == (1, 1, SIZE, SIZE)
    assert torch.equal(inside[0, 0], batch.masks[0, 0])
    assert inside.sum() == 32 * 64
