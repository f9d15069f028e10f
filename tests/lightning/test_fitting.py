from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from sam_ft.checkpoints import load_model, read_state_dict, save_meta
from sam_ft.data.classes import class_names_of
from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.measuring import measure
from sam_ft.inference.candidates import candidates
from sam_ft.inference.thresholds import fit_thresholds
from sam_ft.lightning import FitResult, Monitoring, Recipe, fit
from sam_ft.lightning.checkpoint_io import AtomicCheckpointIO
from sam_ft.lightning.module import CONFIG_KEY
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.adapt.lora import Lora, has_lora
from sam_ft.models.sam.heads import add_class_head
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model
from sam_ft.types import Prompts, Sample

Fit = Callable[..., FitResult]
CONFIG = {"data": {"images": "scans/*.nii.gz"}, "loader": {"batch_size": 2}, "seed": 0}


def rows(result: FitResult, column: str) -> dict[int, float]:
    """Step -> value of one column of `metrics.csv`."""
    with (result.output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row.get(column)}


@torch.no_grad()
def answer(model: Sam) -> Tensor:
    """What a model says to one box on a fixed picture."""
    image = torch.rand(1, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(0))
    prompts = Prompts(boxes=torch.tensor([[[8.0, 8.0, 40.0, 48.0]]]))
    return model.eval().decode(model.encode_image(image), prompts, multimask_output=True).low_res_logits


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> list[FitResult]:
    """Where the module's one full training is kept once it has run."""
    return []


@pytest.fixture
def run(finished: list[FitResult], quick_fit: Fit, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """One training of 6 steps with pictures, shared by the tests that only look at it."""
    if not finished:
        output = tmp_path_factory.mktemp("fit") / "deep" / "run"
        monitoring = Monitoring(wandb="disabled", pictures=2)
        finished.append(quick_fit(output, monitoring=monitoring, config=CONFIG, max_steps=6))
    return finished[0]


def test_a_training_writes_checkpoints_weights_config_log_and_pictures(run: FitResult) -> None:
    written = {str(path.relative_to(run.output)) for path in run.output.rglob("*") if path.is_file()}
    pictures = {f"pictures/step_{step:06d}.png" for step in (2, 4, 6)}
    single = {"best.ckpt", "last.ckpt", "model.safetensors", "config.yaml", "metrics.csv", "thresholds.json"}
    single |= {"calibration.png"}
    assert written == single | pictures
    assert run.num_steps == 6
    paths = [run.best_checkpoint, run.last_checkpoint, run.weights]
    assert [path.name for path in paths] == ["best.ckpt", "last.ckpt", "model.safetensors"]
    assert all(path.is_file() for path in paths)


def test_the_log_has_every_loss_and_every_validation(run: FitResult) -> None:
    assert list(rows(run, "train/loss")) == list(range(6))
    for metric in ("val/miou@1", "val/miou@3", "val/miou@5", "val/miou@box"):
        assert len(rows(run, metric)) == 3


def test_the_best_checkpoint_is_the_best_by_the_monitored_metric(run: FitResult) -> None:
    measured = rows(run, "val/miou@1")
    best_row = max(measured, key=lambda step: measured[step])
    assert run.best == pytest.approx(measured[best_row], abs=1e-6)
    assert torch.load(run.best_checkpoint, weights_only=True)["global_step"] == best_row + 1


def test_the_last_checkpoint_is_the_last_step(run: FitResult) -> None:
    assert torch.load(run.last_checkpoint, weights_only=True)["global_step"] == 6


def test_checkpoints_load_without_running_code_and_hold_the_config(run: FitResult) -> None:
    for path in (run.best_checkpoint, run.last_checkpoint):
        assert torch.load(path, weights_only=True)[CONFIG_KEY] == CONFIG
    assert OmegaConf.to_container(OmegaConf.load(run.output / "config.yaml")) == CONFIG


def test_the_best_checkpoint_and_the_weights_are_the_same_model(run: FitResult) -> None:
    best, weights = load_model(run.best_checkpoint), load_model(run.weights)
    assert torch.equal(answer(best), answer(weights))


def test_the_model_holds_the_best_weights_afterwards(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam]
) -> None:
    model = tiny_model()
    before = answer(model)
    result = quick_fit(tmp_path / "run", model=model)
    assert torch.equal(answer(model), answer(load_model(result.best_checkpoint)))
    assert not torch.equal(answer(model), before)


def test_the_same_seed_gives_the_same_losses_bit_by_bit(
    quick_fit: Fit, tmp_path: Path, recipe: Callable[..., Recipe], run: FitResult
) -> None:
    again = quick_fit(tmp_path / "again", max_steps=6)
    other = quick_fit(tmp_path / "other", recipe=recipe(seed=1), max_steps=2)
    assert rows(again, "train/loss") == rows(run, "train/loss")
    assert rows(other, "train/loss")[0] != rows(run, "train/loss")[0]


@pytest.mark.parametrize("num_steps, workers", [(2, 0), (3, 0), (5, 0), (3, 1)])
def test_a_resumed_training_goes_on_as_if_never_stopped(
    quick_fit: Fit,
    tmp_path: Path,
    recipe: Callable[..., Recipe],
    stop_after: Callable[[int], None],
    run: FitResult,
    num_steps: int,
    workers: int,
) -> None:
    """At the end of an epoch (2) and within one (3, 5: Lightning validates once more there), bit by bit."""
    taught = recipe()
    taught = replace(taught, loader=replace(taught.loader, num_workers=workers))
    stop_after(num_steps)
    stopped = quick_fit(tmp_path / "run", recipe=taught, max_steps=6)
    assert stopped.num_steps == num_steps
    assert torch.load(stopped.last_checkpoint, weights_only=True)["global_step"] == num_steps
    stop_after(-1)
    resumed = quick_fit(tmp_path / "run", recipe=taught, resume=stopped.last_checkpoint, max_steps=6)
    assert resumed.num_steps == 6
    assert rows(resumed, "train/loss") == rows(run, "train/loss")  # the log keeps what was before the stop
    assert rows(resumed, "val/miou@box").items() >= rows(run, "val/miou@box").items()
    assert torch.equal(answer(load_model(resumed.last_checkpoint)), answer(load_model(run.last_checkpoint)))


def test_a_finished_training_can_be_prolonged(quick_fit: Fit, tmp_path: Path) -> None:
    done = quick_fit(tmp_path / "run", max_steps=3)
    longer = quick_fit(tmp_path / "run", resume=done.last_checkpoint, max_steps=5)
    assert longer.num_steps == 5
    assert list(rows(longer, "train/loss")) == list(range(5))


def test_a_run_is_never_overwritten(quick_fit: Fit, tmp_path: Path, run: FitResult) -> None:
    content = run.last_checkpoint.read_bytes()
    elsewhere = tmp_path / "elsewhere.ckpt"
    elsewhere.write_bytes(content)
    for resume in (None, elsewhere):
        with pytest.raises(ValueError, match="already holds a run.*resume=") as refused:
            quick_fit(run.output, resume=resume)
        assert str(run.output) in str(refused.value)
    assert run.last_checkpoint.read_bytes() == content


def test_the_metric_of_the_best_checkpoint_can_be_chosen(quick_fit: Fit, tmp_path: Path) -> None:
    monitoring = Monitoring(metric="miou@box", clicks=(2,), wandb="disabled", pictures=0)
    result = quick_fit(tmp_path / "run", monitoring=monitoring)
    measured = rows(result, "val/miou@box")
    assert result.best == pytest.approx(max(measured.values()), abs=1e-6)
    assert rows(result, "val/miou@2") and not rows(result, "val/miou@1")


def test_training_stops_when_validation_no_longer_improves(
    quick_fit: Fit, tmp_path: Path, recipe: Callable[..., Recipe]
) -> None:
    """With a learning rate that changes nothing, every validation is like the first."""
    monitoring = Monitoring(patience=2, wandb="disabled", pictures=0)
    result = quick_fit(
        tmp_path / "run", recipe=recipe(lr=1e-12), monitoring=monitoring, max_steps=50, val_check_interval=1
    )
    assert result.num_steps == 3
    assert len(rows(result, "val/miou@1")) == 3


def test_training_the_decoder_leaves_all_else_untouched(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam]
) -> None:
    model = tiny_model()
    adapt(model, "decoder")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = quick_fit(tmp_path / "run", model=model, max_steps=2)
    after = read_state_dict(result.last_checkpoint)
    changed = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert changed
    assert {name.partition(".")[0] for name in changed} == {"mask_decoder"}


def test_a_training_with_lora_writes_the_adapter_and_merged_weights_and_resumes_exactly(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam], recipe: Callable[..., Recipe], stop_after: Any
) -> None:
    from peft import PeftModel

    taught = recipe(lr=1e-2)

    def train(output: Path, **more: Any) -> tuple[Sam, FitResult]:
        model = tiny_model()
        Lora(rank=2, dora=True, dropout=0.3)(model)
        return model, quick_fit(output, model=model, recipe=taught, max_steps=4, **more)

    model, whole = train(tmp_path / "whole")
    best = load_model(whole.best_checkpoint)
    assert not has_lora(best) and has_lora(model)
    assert read_state_dict(whole.weights).keys() == tiny_model().state_dict().keys()
    loaded = PeftModel.from_pretrained(tiny_model(), whole.output / "adapter")
    for same in (load_model(whole.weights), model, loaded):
        torch.testing.assert_close(answer(same), answer(best), atol=1e-5, rtol=0)
    assert (answer(best) - answer(tiny_model())).abs().max() > 0.01
    stop_after(3)
    _, stopped = train(tmp_path / "run")
    stop_after(-1)
    _, resumed = train(tmp_path / "run", resume=stopped.last_checkpoint)
    assert stopped.num_steps == 3 and rows(resumed, "train/loss") == rows(whole, "train/loss")
    assert torch.equal(answer(load_model(resumed.last_checkpoint)), answer(load_model(whole.last_checkpoint)))


def test_lora_of_another_strength_cannot_be_resumed_from(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam], run: FitResult
) -> None:
    """Its weights would fit, but count otherwise."""
    model, other = tiny_model(), tiny_model()
    Lora(rank=2, alpha=2.0)(model)
    Lora(rank=2, alpha=4.0)(other)
    done = quick_fit(tmp_path / "run", model=model, max_steps=2)
    for checkpoint in (done.last_checkpoint, run.last_checkpoint):
        with pytest.raises(ValueError, match="same rank and alpha"):
            quick_fit(checkpoint.parent, model=other, resume=checkpoint)


def test_a_training_with_adapters_and_drop_path_resumes_exactly(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam], stop_after: Any
) -> None:
    def train(output: Path, *, drop_path: float = 0.5, **more: Any) -> FitResult:
        model = tiny_model()
        adapt(model, "adapter")
        model.image_encoder.set_drop_path(drop_path)
        return quick_fit(output, model=model, max_steps=4, **more)

    whole = train(tmp_path / "whole")
    stop_after(3)
    stopped = train(tmp_path / "run")
    stop_after(-1)
    resumed = train(tmp_path / "run", resume=stopped.last_checkpoint)
    assert rows(resumed, "train/loss") == rows(whole, "train/loss")
    assert rows(train(tmp_path / "other", drop_path=0.0), "train/loss") != rows(whole, "train/loss")
    saved = read_state_dict(whole.weights)
    assert saved["image_encoder.blocks.1.adapter.up.weight"].any()
    assert torch.equal(answer(load_model(whole.weights)), answer(load_model(whole.best_checkpoint)))


def test_a_training_with_classes_resumes_exactly_and_only_with_these(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam], splits: DataSplits, stop_after: Any
) -> None:
    names = class_names_of(Synthetic(20, image_size=64))

    def train(output: Path, classes: tuple[str, ...] = names, **more: Any) -> FitResult:
        model = tiny_model()
        Lora(rank=2)(model)
        add_class_head(model, classes)
        return quick_fit(output, model=model, max_steps=4, **more)

    whole = train(tmp_path / "whole")
    assert rows(whole, "train/class") and rows(whole, "val/class_accuracy@box")
    for path in (whole.best_checkpoint, whole.weights):
        assert load_model(path).class_names == names
    assert not any("class_head" in name for name in load_file(whole.output / "adapter" / "adapter_model.safetensors"))
    stop_after(3)
    stopped = train(tmp_path / "run")
    stop_after(-1)
    for others in (names[::-1], (*names, "more")):
        with pytest.raises(ValueError, match="give the same classes"):
            train(tmp_path / "run", others, resume=stopped.last_checkpoint)
    resumed = train(tmp_path / "run", resume=stopped.last_checkpoint)
    assert rows(resumed, "train/loss") == rows(whole, "train/loss")
    with pytest.raises(ValueError, match=r"\(nucleus\), but the validation part has"):
        train(tmp_path / "other", ("nucleus",))


def test_mixed_precision_trains_with_clipped_gradients(quick_fit: Fit, tmp_path: Path) -> None:
    result = quick_fit(tmp_path / "run", max_steps=2, precision="bf16-mixed", gradient_clip_val=1.0)
    assert result.num_steps == 2


def test_training_lowers_the_loss(quick_fit: Fit, tmp_path: Path, recipe: Callable[..., Recipe]) -> None:
    one = Synthetic(1, image_size=64)
    result = quick_fit(
        tmp_path / "run",
        data=DataSplits(train=one, val=one),
        recipe=recipe(lr=3e-3, batch_size=1),
        max_steps=40,
        val_check_interval=40,
    )
    losses = list(rows(result, "train/loss").values())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


class Broken(Synthetic):
    """The second image cannot be read."""

    def __getitem__(self, index: int) -> Sample:
        if index == 1:
            raise ValueError("Expected an image in second.png, but it cannot be decoded.")
        return super().__getitem__(index)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"data": DataSplits(train=Broken(4), val=Synthetic(1))}, "second.png"),
        ({"data": DataSplits(train=Synthetic(4), val=Broken(2))}, "second.png"),
        ({"max_steps": 1}, "trainer.val_check_interval=2 .*trainer.max_steps=1"),
        ({"accumulate_grad_batches": 2, "max_steps": 1, "val_check_interval": 3}, "are more than the 2 of"),
        ({"limit_val_batches": 0}, "at least one validation"),
        ({"max_stepz": 1}, "max_stepz"),
        ({"max_steps": "many"}, "trainer.max_steps.*'many'"),
        ({"val_check_interval": 0}, "trainer.val_check_interval.* above 0, but got 0"),
        ({"accelerator": "abacus"}, "abacus"),
        ({"callbacks": []}, "callbacks"),
        ({"resume": Path("nowhere.ckpt")}, "nowhere.ckpt"),
    ],
)
def test_a_mistake_leaves_nothing_behind(
    quick_fit: Fit, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        quick_fit(tmp_path / "runs" / "one", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_ours_leaves_nothing_behind_either(quick_fit: Fit, tmp_path: Path) -> None:
    class Faulty(Synthetic):
        def __getitem__(self, index: int) -> Sample:
            raise TypeError("not a mistake of the user")

    with pytest.raises(TypeError, match="not a mistake"):
        quick_fit(tmp_path / "run", data=DataSplits(train=Faulty(4), val=Synthetic(1)))
    assert list(tmp_path.iterdir()) == []


def test_a_training_validates_where_nothing_is_said_about_it(
    splits: DataSplits, tiny_model: Callable[..., Sam], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    """3 steps of epochs of 4: neither an epoch nor a hundred steps are ever complete."""
    result = fit(
        tiny_model(),
        splits,
        output=tmp_path,
        recipe=recipe(batch_size=1),
        monitoring=Monitoring(wandb="disabled", pictures=0),
        trainer={"max_steps": 3, "accelerator": "cpu"},
    )
    assert list(rows(result, "val/miou@1")) == [2]
    assert result.best_checkpoint.is_file()


def test_a_checkpoint_is_written_beside_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed while it saves keeps the checkpoint before."""
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state": 1}, path)

    def killed(content: Any, target: Any) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"state": 2}, path)
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(path, weights_only=True) == {"state": 1}


def test_a_mistake_takes_away_nothing_that_was_there(quick_fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="second.png"):
        quick_fit(tmp_path / "run", data=DataSplits(train=Broken(4), val=Synthetic(1)))
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_named(quick_fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match="file"):
            quick_fit(output)


def test_weights_alone_cannot_be_resumed_from(quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam]) -> None:
    save_meta(tiny_model(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="model.weights="):
        quick_fit(tmp_path / "run", resume=tmp_path / "weights.pth")


def test_a_checkpoint_of_another_model_cannot_be_resumed_from(quick_fit: Fit, tmp_path: Path, run: FitResult) -> None:
    with pytest.raises(ValueError, match="last.ckpt"):
        quick_fit(tmp_path / "run", model=build_model("vit_tiny", image_size=64), resume=run.last_checkpoint)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_that_trained_other_parts_cannot_be_resumed_from(
    quick_fit: Fit, tmp_path: Path, tiny_model: Callable[..., Sam], run: FitResult
) -> None:
    model = tiny_model()
    adapt(model, "decoder")
    with pytest.raises(ValueError, match="give the same adapt="):
        quick_fit(tmp_path / "run", model=model, resume=run.last_checkpoint)


@pytest.mark.parametrize(
    "wrong",
    [
        {"metric": "miou@7"},
        {"wandb": "sometimes"},
        {"clicks": (0, 1)},
        {"pictures": -1},
        {"thresholds": 0.5},
        {"patience": 0},
    ],
)
def test_monitoring_out_of_range_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Monitoring(**wrong)


@pytest.mark.parametrize("seed", [-1, "x", 0.5])
def test_the_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed"):
        Recipe(seed=seed)


def test_thresholds_of_the_mask_generator_suit_the_best_weights(run: FitResult, splits: DataSplits) -> None:
    """They are those of the checkpoint, fitted to the validation part."""
    images = list(candidates(load_model(run.best_checkpoint), [splits.val[index] for index in range(2)]))
    assert run.thresholds is not None and run.thresholds == fit_thresholds(images)
    written = json.loads((run.output / "thresholds.json").read_text())
    assert written["score"] == run.thresholds.best.score >= run.thresholds.defaults.score
    assert written["num_images"] == 2


def test_without_thresholds_those_of_earlier_weights_do_not_stay(quick_fit: Fit, tmp_path: Path) -> None:
    first = quick_fit(tmp_path / "run", max_steps=2)
    assert (tmp_path / "run" / "thresholds.json").is_file()
    without = Monitoring(wandb="disabled", pictures=0, thresholds=0)
    again = quick_fit(tmp_path / "run", monitoring=without, resume=first.last_checkpoint, max_steps=4)
    assert again.thresholds is None and not (tmp_path / "run" / "thresholds.json").exists()


def test_validation_logs_what_the_model_thinks_of_its_masks(run: FitResult, splits: DataSplits) -> None:
    """As `sam-ft evaluate` measures it, for the step whose weights are the best."""
    step = torch.load(run.best_checkpoint, weights_only=True)["global_step"] - 1
    expected = measure(load_model(run.best_checkpoint), splits.val).calibration
    assert rows(run, "val/calibration_error")[step] == pytest.approx(expected.error, abs=1e-5)
    assert rows(run, "val/calibration_bias")[step] == pytest.approx(expected.bias, abs=1e-5)
    assert (run.output / "calibration.png").read_bytes().startswith(b"\x89PNG")
