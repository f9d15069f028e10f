"""Trainings on several data sets at once: what is measured of each, going on within an epoch, cached embeddings."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sam_ft.data.balance import ClassBalance
from sam_ft.data.classes import class_names_of
from sam_ft.data.collation import whole_batches
from sam_ft.data.mixture import mixture_splits
from sam_ft.data.phantoms import Phantoms
from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.measuring import measure
from sam_ft.evaluation.pixels.page import semantic_page
from sam_ft.evaluation.pixels.semantic import measure_classes
from sam_ft.evaluation.showing.page import evaluation_page
from sam_ft.lightning import (
    EmbeddingCacheSettings,
    FitResult,
    Recipe,
    SemanticMonitoring,
    SemanticRecipe,
    fit_semantic,
)
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.sam.heads import add_class_head, add_semantic_head
from sam_ft.models.sam.model import Sam

Fit = Callable[..., FitResult]
MakeModel = Callable[..., Sam]


@pytest.fixture
def sets() -> DataSplits:
    """3 + 4 images to train on, of which an epoch draws 6; one set has the name of a method of `ModuleDict`."""
    return mixture_splits(
        {
            "keys": Synthetic.splits(3, num_val=2, image_size=64),
            "bodies": Phantoms.splits(4, num_val=1, image_size=64),
        },
        weights={"keys": 1, "bodies": 2},
        epoch_images=6,
    )


def logged(result: FitResult, *, column: str) -> list[dict[str, float]]:
    """The rows of a log that have a value in a column."""
    with (result.output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[column]]
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def test_validation_measures_each_set_with_prompts(
    quick_fit: Fit, tmp_path: Path, tiny_model: MakeModel, sets: DataSplits
) -> None:
    model = tiny_model()
    add_class_head(model, class_names_of(sets.train))
    rows = logged(quick_fit(tmp_path / "run", model=model, data=sets), column="val/miou@1")
    counts = dict.fromkeys(("keys", "bodies"), 0)
    for index in range(len(sets.val)):
        counts[str(sets.val[index].set_name)] += len(sets.val[index].masks)
    assert len(rows) == 2
    for row in rows:
        for key in ("val/miou@1", "val/miou@box", "val/class_accuracy@1"):
            together = sum(row[f"{key}/{name}"] * count for name, count in counts.items()) / sum(counts.values())
            assert together == pytest.approx(row[key], abs=1e-6)


def test_validation_measures_each_set_by_pixels(tmp_path: Path, tiny_model: MakeModel, sets: DataSplits) -> None:
    model = tiny_model()
    add_semantic_head(model, (*class_names_of(sets.train), "cavity"))
    trainer = {"accelerator": "cpu", "max_steps": 2, "val_check_interval": 1, "check_val_every_n_epoch": None}
    result = fit_semantic(
        model,
        sets,
        output=tmp_path / "run",
        recipe=SemanticRecipe(),
        monitoring=SemanticMonitoring(wandb="disabled", pictures=0),
        trainer=trainer,
    )
    rows = logged(result, column="val/pixel_accuracy")
    assert len(rows) == 2
    for row in rows:  # 2 images and 1, of one size
        together = (2 * row["val/pixel_accuracy/keys"] + row["val/pixel_accuracy/bodies"]) / 3
        assert together == pytest.approx(row["val/pixel_accuracy"], abs=1e-6)
        assert {"val/miou/keys", "val/miou/bodies"} <= row.keys()


def test_an_evaluation_is_summed_up_for_each_set(tmp_path: Path, tiny_model: MakeModel, sets: DataSplits) -> None:
    model = tiny_model()
    measurement = measure(model, sets.val, clicks=(1,))
    measurement.write(tmp_path)
    of_sets = json.loads((tmp_path / "summary.json").read_text())["sets"]
    assert list(of_sets) == ["keys", "bodies"]
    assert [of_sets[name]["num_images"] for name in of_sets] == [2, 1]
    alone = measure(model, sets.val.sets["bodies"].samples, clicks=(1,))  # type: ignore[attr-defined]
    assert of_sets["bodies"]["miou@box"] == pytest.approx(alone.summary["miou@box"], abs=1e-6)
    with (tmp_path / "records.csv").open(encoding="utf-8", newline="") as file:
        assert {row["set_name"] for row in csv.DictReader(file)} == {"keys", "bodies"}
    alone.write(tmp_path / "alone")
    assert "sets" not in json.loads((tmp_path / "alone" / "summary.json").read_text())
    assert "set_name" not in (tmp_path / "alone" / "records.csv").read_text().splitlines()[0]
    page = evaluation_page(measurement, title="a", subtitle="b", shown=[], command="c")
    assert any(getattr(block, "columns", [""])[0] == "set" for block in page.sections[0].blocks)


def test_an_evaluation_by_pixels_is_summed_up_for_each_set(
    tmp_path: Path, tiny_model: MakeModel, sets: DataSplits
) -> None:
    model = tiny_model()
    add_semantic_head(model, (*class_names_of(sets.train), "cavity"))
    measurement = measure_classes(model, whole_batches(sets.val, image_size=64))
    assert sum(measurement.sets.values()).equal(measurement.confusion)  # type: ignore[union-attr]
    measurement.write(tmp_path)
    sets_written = json.loads((tmp_path / "summary.json").read_text())["sets"]
    assert sets_written == {name: {**own, "intervals": {}} for name, own in measurement.by_set.items()}
    page = semantic_page(measurement, title="a", samples=[], predictions={}, command="b")
    assert [row[0] for row in page.sections[0].blocks[1].rows] == ["keys", "bodies"]  # type: ignore[union-attr]


def test_a_training_that_is_stopped_within_an_epoch_goes_on_as_if_never_stopped(
    quick_fit: Fit,
    tmp_path: Path,
    tiny_model: MakeModel,
    stop_after: Callable[[int], None],
    recipe: Callable[..., Recipe],
    sets: DataSplits,
) -> None:
    """An epoch has 3 steps; it is stopped after the fourth, in the second epoch."""
    made = recipe(augment="light")
    balanced = replace(made, loader=replace(made.loader, balance=ClassBalance(rare_below=0.6), max_objects=2))
    given: dict[str, Any] = {"data": sets, "recipe": balanced, "max_steps": 8}
    whole = quick_fit(tmp_path / "whole", **given)
    stop_after(4)
    quick_fit(tmp_path / "part", **given)
    stop_after(-1)
    resumed = quick_fit(tmp_path / "part", resume=tmp_path / "part" / "last.ckpt", **given)
    losses = [
        {int(row["step"]): row["train/loss"] for row in logged(result, column="train/loss")}
        for result in (whole, resumed)
    ]
    assert resumed.num_steps == 8 and losses[0] == losses[1] and len(set(losses[0].values())) == 8


@pytest.mark.parametrize("views", [1, 2])
def test_a_mixture_trains_from_cached_embeddings_with_the_losses_of_training_without(
    quick_fit: Fit, tmp_path: Path, tiny_model: MakeModel, recipe: Callable[..., Recipe], sets: DataSplits, views: int
) -> None:
    """In the first four steps no image is drawn for the third time, so that two views are as good as any."""
    losses = []
    for name, cache in (("without", None), ("cached", EmbeddingCacheSettings(tmp_path / "rows", views=views))):
        model = tiny_model()
        adapt(model, "decoder")
        made = replace(recipe(augment="light" if views > 1 else "none"), embedding_cache=cache)
        result = quick_fit(tmp_path / name, model=model, data=sets, recipe=made)
        losses.append([row["train/loss"] for row in logged(result, column="train/loss")])
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=0)
    assert len(set(losses[0])) == 4
