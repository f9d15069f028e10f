"""Training from cached embeddings: the losses of training without, and no image encoder that runs."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning import (
    EmbeddingCacheSettings,
    FitResult,
    Monitoring,
    Recipe,
    SemanticMonitoring,
    SemanticRecipe,
    fit_semantic,
)
from sam_ft.lightning.data_module import LoaderSettings
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.sam.heads import add_semantic_head
from sam_ft.models.sam.image_encoder import ImageEncoder
from sam_ft.models.sam.model import Sam

Fit = Callable[..., FitResult]
Train = Callable[..., dict[str, dict[int, float]]]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each run of an image encoder has seen, since the list was last cleared."""
    seen: list[int] = []
    patches = ImageEncoder._patches

    def watched(encoder: ImageEncoder, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return patches(encoder, images)

    monkeypatch.setattr(ImageEncoder, "_patches", watched)
    return seen


@pytest.fixture
def train(quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam], recipe: Callable[..., Recipe]) -> Train:
    """A training of a decoder from a cache, or with `cache=None` without; the columns of its log."""

    def run(
        name: str,
        *,
        cache: EmbeddingCacheSettings | None,
        adapted: str = "decoder",
        loader: dict[str, Any] | None = None,
        model: Sam | None = None,
        watched: int = 0,
        **arguments: Any,
    ) -> dict[str, dict[int, float]]:
        model = model or tiny_model()
        adapt(model, adapted)
        taught = recipe()
        taught = replace(taught, loader=replace(taught.loader, **(loader or {})), embedding_cache=cache)
        monitoring = Monitoring(wandb="disabled", pictures=watched, thresholds=watched)
        quick_fit(tmp_path / name, model=model, recipe=taught, monitoring=monitoring, **arguments)
        return logged(tmp_path / name)

    return run


def logged(output: Path) -> dict[str, dict[int, float]]:
    """The columns of a log, step by step."""
    with (output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.startswith(("train/", "val/"))]
    return {name: {int(row["step"]): float(row[name]) for row in rows if row[name]} for name in columns}


def differences(first: dict[str, dict[int, float]], second: dict[str, dict[int, float]], kind: str) -> float:
    """The largest one between all columns of a kind, such as `train/`; all of them have the same steps."""
    assert first.keys() == second.keys() and first["train/loss"]
    pairs = [(first[name], second[name]) for name in first if name.startswith(kind)]
    assert all(one.keys() == other.keys() for one, other in pairs)
    return max(abs(one[step] - other[step]) for one, other in pairs for step in one)


@pytest.mark.parametrize("adapted, workers", [("decoder", 2), ("hq", 0)])
def test_losses_and_validation_are_those_of_training_without_a_cache(
    train: Train, tmp_path: Path, adapted: str, workers: int
) -> None:
    without = train("without", cache=None, adapted=adapted, max_steps=6)
    cache = EmbeddingCacheSettings(tmp_path / "cache")
    cached = train("cached", cache=cache, adapted=adapted, loader={"num_workers": workers}, max_steps=6)
    assert differences(without, cached, "train/") < 1e-5
    assert differences(without, cached, "val/") < 1e-4
    assert len(set(cached["train/loss"].values())) == 6


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_the_disk_gives_nearly_the_same_losses(train: Train, tmp_path: Path, dtype: str) -> None:
    without = train("without", cache=None)
    cached = train("cached", cache=EmbeddingCacheSettings(tmp_path / "cache", dtype=dtype))
    assert cached["train/loss"] != without["train/loss"]
    assert cached["train/loss"] == pytest.approx(without["train/loss"], rel=1e-3)


def test_steps_in_half_precision_take_a_cache_too(train: Train, tmp_path: Path) -> None:
    without = train("without", cache=None, precision="bf16-mixed")
    cached = train("cached", cache=EmbeddingCacheSettings(tmp_path / "cache"), precision="bf16-mixed")
    assert differences(without, cached, "train/") < 1e-3


def test_the_encoder_sees_each_image_once(train: Train, tmp_path: Path, encoded: list[int]) -> None:
    """4 images of training and 2 of validation, then none: not for pictures nor for thresholds, nor in another run."""
    cache = EmbeddingCacheSettings(tmp_path / "cache")
    train("first", cache=cache)
    assert sum(encoded) == 6
    encoded.clear()
    again = train("second", cache=cache, watched=1, max_steps=6)
    assert encoded == [] and (tmp_path / "second" / "thresholds.json").is_file()
    assert (tmp_path / "second" / "pictures" / "step_000006.png").is_file()
    assert list(again["train/loss"]) == list(range(6))


def test_a_changed_image_is_encoded_again(train: Train, tmp_path: Path, encoded: list[int]) -> None:
    cache, samples = EmbeddingCacheSettings(tmp_path / "cache"), list(Synthetic(6, image_size=64))
    train("first", cache=cache, data=DataSplits(train=samples[:4], val=samples[4:]))
    encoded.clear()
    image = samples[1].image.clone()
    image[3, 5, 0] ^= 1
    samples[1] = replace(samples[1], image=image)
    changed = DataSplits(train=samples[:4], val=samples[4:])
    cached = train("second", cache=cache, data=changed)
    assert sum(encoded) == 1
    assert differences(train("without", cache=None, data=changed), cached, "train/") < 1e-5


def test_other_weights_or_image_sizes_have_embeddings_of_their_own(
    train: Train, tmp_path: Path, tiny_model: Callable[..., Sam], encoded: list[int]
) -> None:
    """The decoder's weights do not matter."""
    cache = EmbeddingCacheSettings(tmp_path / "cache")
    train("first", cache=cache)
    encoded.clear()
    same = tiny_model()
    torch.nn.init.normal_(same.mask_decoder.iou_token.weight)
    train("decoder", cache=cache, model=same)
    assert encoded == []
    without = train("without", cache=None, model=tiny_model(seed=1))
    encoded.clear()
    cached = train("other", cache=cache, model=tiny_model(seed=1))
    assert sum(encoded) == 6 and differences(without, cached, "train/") < 1e-5


def test_every_view_is_what_its_epoch_would_see_without_a_cache(
    train: Train, tmp_path: Path, encoded: list[int]
) -> None:
    """Of three epochs of two steps the third sees the images of the first one again, but other objects of them."""
    loader = {"augment": "medical", "windows": (0.5, 1.0), "max_objects": 1}
    without = train("without", cache=None, loader=loader, max_steps=6)
    encoded.clear()
    cache = EmbeddingCacheSettings(tmp_path / "cache", views=2)
    cached = train("cached", cache=cache, loader=loader, max_steps=6)
    assert sum(encoded) == 2 * 4 + 2
    apart = [abs(cached["train/loss"][step] - without["train/loss"][step]) for step in range(6)]
    assert max(apart[:4]) < 1e-5 < min(apart[4:])


@pytest.mark.parametrize("adapted", ["decoder", "hq"])
def test_a_resumed_training_goes_on_as_if_never_stopped(
    train: Train, tmp_path: Path, tiny_model: Callable[..., Sam], stop_after: Any, adapted: str
) -> None:
    """Bit by bit; the image encoder is its checkpoint's, whatever the model has that it is given."""
    cache = EmbeddingCacheSettings(tmp_path / "cache", views=2)
    taught: dict[str, Any] = {"cache": cache, "loader": {"augment": "light"}, "adapted": adapted, "max_steps": 6}
    whole = train("whole", **taught)
    stop_after(3)
    train("run", **taught)
    stop_after(-1)
    resumed = train("run", **taught, model=tiny_model(seed=1), resume=tmp_path / "run" / "last.ckpt")
    assert resumed["train/loss"] == whole["train/loss"]


def test_semantic_segmentation_takes_a_cache_too(
    tmp_path: Path, tiny_model: Callable[..., Sam], splits: DataSplits, encoded: list[int]
) -> None:
    def run(name: str, cache: EmbeddingCacheSettings | None) -> dict[str, dict[int, float]]:
        model = tiny_model()
        adapt(model, "decoder")
        add_semantic_head(model, ("ellipse", "nucleus", "polygon"))
        encoded.clear()
        result = fit_semantic(
            model,
            splits,
            output=tmp_path / name,
            recipe=SemanticRecipe(loader=LoaderSettings(batch_size=2), embedding_cache=cache),
            monitoring=SemanticMonitoring(wandb="disabled", pictures=1),
            trainer={"accelerator": "cpu", "max_steps": 4, "val_check_interval": 2, "log_every_n_steps": 1},
        )
        return logged(result.output)

    without = run("without", None)
    cached = run("cached", EmbeddingCacheSettings(tmp_path / "cache"))
    assert sum(encoded) == 6 and differences(without, cached, "train/") < 1e-5


@pytest.mark.parametrize(
    "adapted, loader, views, message",
    [
        ("full", {}, 1, "frozen image encoder.*adapt=decoder"),
        ("lora", {}, 1, "frozen image encoder.*adapt=decoder"),
        ("adapter", {}, 1, "frozen image encoder.*adapt=decoder"),
        ("decoder", {"augment": "light"}, 1, "several embedding_cache.views for loader.augment=light, but got 1"),
        ("decoder", {"windows": (0.2, 0.5)}, 1, r"embedding_cache.views for loader.windows=\[0.2, 0.5\], but got 1"),
        ("decoder", {}, 2, "embedding_cache.views=1 without augmentation and windows, but got 2"),
    ],
)
def test_what_a_cache_cannot_hold_is_refused(
    train: Train, tmp_path: Path, adapted: str, loader: dict[str, Any], views: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train("run", cache=EmbeddingCacheSettings(tmp_path / "cache", views=views), adapted=adapted, loader=loader)
    assert list(tmp_path.iterdir()) == []


def test_drop_path_is_refused(train: Train, tmp_path: Path, tiny_model: Callable[..., Sam]) -> None:
    model = tiny_model()
    model.image_encoder.set_drop_path(0.2)
    with pytest.raises(ValueError, match="without drop path.*model.drop_path=0"):
        train("run", cache=EmbeddingCacheSettings(tmp_path / "cache"), model=model)


def test_what_suits_the_data_is_left_out_with_one_view(train: Train, tmp_path: Path) -> None:
    """`auto`, the default of the programs, then means no augmentation."""
    cached = train("auto", cache=EmbeddingCacheSettings(tmp_path / "cache"), loader={"augment": "auto"})
    none = train("none", cache=EmbeddingCacheSettings(tmp_path / "cache"))
    assert cached["train/loss"] == none["train/loss"]


SCRIPT = """
import sys
from pathlib import Path
import torch
from tests.lightning.conftest import _model, _recipe, trainer
from dataclasses import replace
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning import EmbeddingCacheSettings, Monitoring, fit
from sam_ft.models.adapt.choices import adapt

output, cache = sys.argv[1:]
model = _model()
adapt(model, "decoder")
recipe = replace(_recipe(batch_size=1), embedding_cache=EmbeddingCacheSettings(cache) if cache else None)
fit(
    model,
    Synthetic.splits(4, num_val=2, image_size=64),
    output=output,
    recipe=recipe,
    monitoring=Monitoring(wandb="disabled", pictures=1, thresholds=1),
    trainer=trainer(devices=2, strategy="ddp"),
)
"""


def start(tmp_path: Path, output: str, cache: Path | str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, str(script), str(tmp_path / output), str(cache)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_trainings_of_two_processes_started_at_once_share_a_cache(tmp_path: Path) -> None:
    """Nothing is encoded twice; the third one has no cache."""
    cache = tmp_path / "cache"
    running = [start(tmp_path, "first", cache), start(tmp_path, "second", cache), start(tmp_path, "without", "")]
    said = [process.communicate(timeout=240)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    names = [name for path in cache.rglob("*.safetensors") for name in load_file(path)]
    assert len(names) == len(set(names)) == 6
    first, second, without = (logged(tmp_path / name) for name in ("first", "second", "without"))
    assert first == second
    assert first["train/loss"] == pytest.approx(without["train/loss"], abs=1e-5)
