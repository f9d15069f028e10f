"""Training of semantic segmentation: what the steps teach and what validation measures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sam_ft.checkpoints import load_model
from sam_ft.data.class_maps import class_map
from sam_ft.data.collation import Prepare, collate, whole_batches
from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.pixels.semantic import measure_classes
from sam_ft.lightning import FitResult, SemanticMonitoring, SemanticRecipe, fit_semantic
from sam_ft.lightning.data_module import LoaderSettings, SamDataModule
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.lightning.semantic_module import SemanticModule
from sam_ft.losses.semantic import SemanticLoss
from sam_ft.models.sam.heads import add_semantic_head
from sam_ft.models.sam.model import Sam
from sam_ft.models.semantic_head import BACKGROUND_CLASS
from sam_ft.types import Batch, Sample

SIZE = 64
NAMES = ("ellipse", "nucleus", "polygon")


def with_head(model: Sam) -> Sam:
    add_semantic_head(model, NAMES)
    return model


def module_of(model: Sam) -> SemanticModule:
    module = SemanticModule(with_head(model), loss=SemanticLoss(), optimiser=OptimiserSettings())
    module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    return module


def batch_of(*samples: Sample) -> Batch:
    return collate([Prepare(SIZE)(sample) for sample in samples])


def loss_and_gradients(module: SemanticModule, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    module.zero_grad()
    loss = module.training_step(batch, 0)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def quick(output: Path, model: Sam, data: DataSplits, *, lr: float = 1e-3, **arguments: Any) -> FitResult:
    trainer = {
        "accelerator": "cpu",
        "max_steps": 4,
        "val_check_interval": 2,
        "check_val_every_n_epoch": None,
        "log_every_n_steps": 1,
    }
    resume = arguments.pop("resume", None)
    return fit_semantic(
        with_head(model),
        data,
        output=output,
        recipe=SemanticRecipe(optimiser=OptimiserSettings(lr=lr), loader=LoaderSettings(batch_size=2, max_objects=1)),
        monitoring=SemanticMonitoring(wandb="disabled", pictures=0),
        trainer=trainer | arguments,
        resume=resume,
    )


def rows(result: FitResult, column: str) -> dict[int, float]:
    with (result.output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row.get(column)}


def test_padding_teaches_nothing(tiny_model: Callable[..., Sam]) -> None:
    """What stands there may be anything: neither loss nor gradients change."""
    sample = Synthetic(1, image_size=SIZE)[0]
    module = module_of(tiny_model())
    batch = batch_of(replace(sample, image=sample.image[:32], masks=sample.masks[:, :32]))
    where = torch.arange(SIZE)[:, None].expand(SIZE, SIZE) >= 32
    changed = replace(batch, masks=batch.masks ^ (where & (torch.rand(SIZE, SIZE) < 0.5)))
    assert not torch.equal(changed.masks, batch.masks)
    loss, gradients = loss_and_gradients(module, batch)
    other_loss, other_gradients = loss_and_gradients(module, changed)
    torch.testing.assert_close(other_loss, loss)
    for name, gradient in gradients.items():
        torch.testing.assert_close(other_gradients[name], gradient)
    assert loss_and_gradients(module, replace(batch, masks=~batch.masks))[0] != loss


def test_pixels_that_nobody_knows_teach_nothing(tiny_model: Callable[..., Sam]) -> None:
    """An object of which nobody knows anything: as if the rest of the image were all there is."""
    sample = Synthetic(1, image_size=SIZE)[0]
    module = module_of(tiny_model())
    hidden = sample.masks.any(dim=0)
    unlabelled = batch_of(replace(sample, masks=sample.masks[:0], class_names=(), ignored=hidden))
    background = batch_of(replace(sample, masks=sample.masks[:0], class_names=()))
    assert loss_and_gradients(module, unlabelled)[0] != loss_and_gradients(module, background)[0]
    everything = batch_of(replace(sample, masks=sample.masks[:0], class_names=(), ignored=torch.ones_like(hidden)))
    _, gradients = loss_and_gradients(module, everything)
    assert all(not gradient.any() for gradient in gradients.values())


def test_an_image_without_objects_is_all_background(tiny_model: Callable[..., Sam]) -> None:
    sample = Synthetic(1, image_size=SIZE)[0]
    empty = replace(sample, masks=sample.masks[:0], class_names=())
    loss, gradients = loss_and_gradients(module_of(tiny_model()), batch_of(empty))
    assert loss > 0 and any(gradient.any() for gradient in gradients.values())


def test_training_sees_every_object_whatever_max_objects_says(splits: DataSplits) -> None:
    settings = LoaderSettings(max_objects=1)
    most = [
        max(len(sample.masks) for batch in module.train_dataloader() for sample in batch.samples)  # type: ignore[attr-defined]
        for module in (
            SamDataModule(splits, image_size=SIZE, settings=settings, every_object=True),
            SamDataModule(splits, image_size=SIZE, settings=settings),
        )
    ]
    assert most == [max(len(splits.train[index].masks) for index in range(4)), 1]


def test_a_window_leaves_no_part_of_a_class_to_the_background(splits: DataSplits) -> None:
    """However little of an object is in the window, it is of its class; prompts would not be given for so little."""
    settings = LoaderSettings(windows=(0.2, 0.3), batch_size=1)
    cut = [
        [
            (sample.image, class_map(sample, (BACKGROUND_CLASS, *NAMES)))
            for batch in module.train_dataloader()
            for sample in batch.samples  # type: ignore[attr-defined]
        ]
        for module in (
            SamDataModule(splits, image_size=SIZE, settings=settings, every_object=True),
            SamDataModule(splits, image_size=SIZE, settings=settings),
        )
    ]
    assert all(torch.equal(whole[0], thinned[0]) for whole, thinned in zip(*cut, strict=True))
    assert sum(int((whole[1] > 0).sum()) for whole in cut[0]) > sum(int((each[1] > 0).sum()) for each in cut[1])


def test_validation_measures_what_the_evaluation_measures(
    tiny_model: Callable[..., Sam], splits: DataSplits, tmp_path: Path
) -> None:
    result = quick(tmp_path / "run", tiny_model(), splits, max_steps=2)
    model = load_model(result.best_checkpoint)
    measured = measure_classes(model, whole_batches(splits.val, image_size=SIZE, batch_size=1))  # type: ignore[arg-type]
    assert result.best == pytest.approx(measured.summary["miou"], abs=1e-6)
    assert rows(result, "val/pixel_accuracy")[1] == pytest.approx(measured.summary["pixel_accuracy"], abs=1e-6)
    for name, each in measured.by_class.items():
        assert rows(result, f"val/iou/{name}").get(1) == (
            None if each["iou"] is None else pytest.approx(each["iou"], abs=1e-6)
        )


def test_the_same_seed_gives_the_same_losses_and_a_finished_training_can_be_prolonged(
    tiny_model: Callable[..., Sam], splits: DataSplits, tmp_path: Path
) -> None:
    whole = quick(tmp_path / "whole", tiny_model(), splits)
    again = quick(tmp_path / "again", tiny_model(), splits)
    assert rows(again, "train/loss") == rows(whole, "train/loss")
    with pytest.raises(ValueError, match="already holds a run"):
        quick(tmp_path / "whole", tiny_model(), splits)
    longer = quick(tmp_path / "whole", tiny_model(), splits, max_steps=6, resume=whole.last_checkpoint)
    assert longer.num_steps == 6
    assert list(rows(longer, "train/loss")) == list(range(6))


def test_training_learns_one_image(tiny_model: Callable[..., Sam], tmp_path: Path) -> None:
    one = Synthetic(1, image_size=SIZE)
    result = quick(
        tmp_path / "run", tiny_model(), DataSplits(train=one, val=one), lr=3e-3, max_steps=60, val_check_interval=60
    )
    losses = np.array(list(rows(result, "train/loss").values()))
    assert losses[-5:].mean() < 0.5 * losses[:5].mean()
    assert result.best > 0.5


def test_a_model_without_a_head_and_unknown_classes_are_refused(
    tiny_model: Callable[..., Sam], splits: DataSplits, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="add_semantic_head"):
        fit_semantic(tiny_model(), splits, output=tmp_path / "run")
    model = tiny_model()
    add_semantic_head(model, ["nucleus"])
    with pytest.raises(ValueError, match=r"\(background, nucleus\), but the validation part has"):
        fit_semantic(model, splits, output=tmp_path / "run")
    with pytest.raises(ValueError, match="`metric` to be one of miou, pixel_accuracy"):
        SemanticMonitoring(metric="miou@box")
    assert not (tmp_path / "run").exists()
