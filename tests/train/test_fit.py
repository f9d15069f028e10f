"""`sam-ft fit` as a user meets it: what it writes and says, and what it says to a mistake."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sam_ft.checkpoints import load_model
from sam_ft.data import instance_maps
from sam_ft.data.image_files import read_image
from sam_ft.lightning.module import SamModule

Program = Callable[..., Any]
DATA = ", ".join(sorted(path.stem for path in (Path(__file__).parents[2] / "configs" / "data").glob("*.yaml")))
LABEL = np.zeros((8, 8, 10), dtype=np.uint8)
LABEL[2:7, 2:7] = 1


def volumes(folder: Path, label: np.ndarray = LABEL, *, shift: float = 0.0) -> list[str]:
    """Writes one image and its label; the overrides that read them."""
    image = np.random.default_rng(0).integers(0, 1000, LABEL.shape).astype(np.int16)
    affine = np.eye(4)
    nibabel.save(nibabel.Nifti1Image(image, affine), folder / "image.nii.gz")
    affine[0, 3] = shift
    nibabel.save(nibabel.Nifti1Image(label, affine), folder / "label.nii.gz")
    return ["data=nifti", "data/split=slabs", "data.images=image.nii.gz", "data.labels=label.nii.gz"]


def one_line(result: Any) -> str:
    """The message of a refused run."""
    assert result.code == 2, result.err
    assert result.err.startswith("sam-ft: ")
    assert result.err.count("\n") == 1
    return result.err


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_fit_trains_and_says_where_everything_is(sam_ft: Program, synthetic: list[str], tmp_path: Path) -> None:
    done = sam_ft("fit", *synthetic, "output=run")
    assert done.code == 0, done.err
    names = [
        "best.ckpt",
        "last.ckpt",
        "model.safetensors",
        "config.yaml",
        "metrics.csv",
        "thresholds.json",
        "calibration.png",
    ]
    assert files(tmp_path) == {
        "run",
        "run/pictures",
        "run/pictures/step_000001.png",
        *(f"run/{name}" for name in names),
    }
    assert all(name in done.out for name in names)
    assert "2 training samples, 1 for validation" in done.out
    assert "Best validation miou@1: " in done.out
    table = done.out.partition("part ")[2].partition("Done after")[0]  # what is trained, before the first step
    assert [line.split()[0] for line in table.splitlines()[1:5]] == [
        "image_encoder",
        "prompt_encoder",
        "mask_decoder",
        "all",
    ]
    assert "Mask generator, fitted to 1 images" in done.out
    assert "memory: about " in table and "may not fit" not in table
    assert "sam-ft evaluate checkpoint=run/best.ckpt" in done.out
    assert "miou@box=" in done.err  # the progress bar
    assert load_model("run/model.safetensors").image_size == 64
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    assert "resume=run/last.ckpt" in one_line(sam_ft("fit", *synthetic, "output=run"))
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
    longer = sam_ft("fit", *synthetic, "output=run", "trainer.max_steps=2", "resume=run/last.ckpt")
    assert longer.code == 0, longer.err
    assert "Done after 2 steps" in longer.out
    alone = sam_ft("fit", *synthetic, "trainer.max_steps=3", "resume=run/last.ckpt")  # into the same folder
    assert alone.code == 0, alone.err
    assert "Done after 3 steps" in alone.out
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_lora_trains_from_the_command_line(sam_ft: Program, synthetic: list[str], tmp_path: Path) -> None:
    done = sam_ft("fit", *synthetic, "adapt=lora", "adapt.rank=4", "monitoring.pictures=0", "output=run")
    assert done.code == 0, done.err
    assert files(tmp_path / "run" / "adapter") == {"adapter_config.json", "adapter_model.safetensors"}
    assert "adapter " in done.out
    assert load_model("run/best.ckpt").image_size == 64
    evaluated = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=measured", "pictures=0")
    assert evaluated.code == 0, evaluated.err


def test_a_decoder_trains_from_cached_embeddings(
    sam_ft: Program, synthetic: list[str], image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of image files, which are decoded once to see whether they are the same and once to be encoded."""
    read: list[Path] = []

    def watched(path: Path, *settings: Any) -> np.ndarray:
        read.append(path)
        return read_image(path, *settings)

    monkeypatch.setattr(instance_maps, "read_image", watched)
    settings = [each for each in synthetic if not each.startswith("data")]
    given = ["fit", "data=image_mask", f"data.root={image_folder}", *settings, "embedding_cache.folder=rows"]
    refused = one_line(sam_ft(*given, "output=run"))
    assert "frozen image encoder" in refused and "adapt=decoder" in refused and not Path("run").exists()
    read.clear()
    done = sam_ft(*given, "adapt=decoder", "trainer.max_steps=4", "output=run")
    assert done.code == 0, done.err
    assert "1 images to encode, 8 KiB each, 8 KiB in all" in done.out  # they look alike
    assert (
        "Embedding cache: 1 embeddings of 8 KiB in rows/vit_tiny_64px_float32_" in done.out
        and "1 of them new" in done.out
    )
    assert len(read) == 5 + 1  # of six images one is held out for testing
    again = sam_ft(*given, "adapt=decoder", "output=again")
    assert again.code == 0 and "0 of them new" in again.out
    views = sam_ft(*given, "adapt=decoder", "embedding_cache.views=3", "output=views")
    assert views.code == 0 and "Epoch e sees view e % 3 of each training image." in views.out


def test_classes_are_taught_and_measured(sam_ft: Program, synthetic: list[str], tmp_path: Path) -> None:
    done = sam_ft("fit", *synthetic, "data.num_train=6", "classes=auto", "class_weight=0.5", "output=run")
    assert done.code == 0, done.err
    assert "Classes: ellipse, nucleus, polygon" in done.out
    again = sam_ft("fit", *synthetic, "model.weights=run/model.safetensors", "output=again")
    assert "Classes: ellipse, nucleus, polygon" in again.out
    other = sam_ft(
        "fit", *synthetic, "model.weights=run/best.ckpt", "classes=[polygon,nucleus,ellipse]", "output=other"
    )
    assert "takes the place of that for ellipse, nucleus, polygon" in other.out
    measured = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=measured", "pictures=0")
    assert measured.code == 0 and "class_accuracy@box" in measured.out
    assert "class accuracy" in (tmp_path / "measured" / "index.html").read_text()
    foreign = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=measured", "pictures=0", "data=phantoms",
                     "data.num_train=1", "data.num_val=1", "data.num_test=1", "data.image_size=64")  # fmt: skip
    assert foreign.code == 0 and "does not know the classes" in foreign.out


SEMANTIC = [
    "data=synthetic",
    "data.num_train=4",
    "data.num_val=2",
    "data.num_test=2",
    "data.image_size=64",
    "task=semantic",
    "model.image_size=64",
    "trainer.accelerator=cpu",
    "trainer.max_steps=1",
    "monitoring.wandb=disabled",
]


def test_semantic_segmentation_trains_resumes_and_is_measured(sam_ft: Program, tmp_path: Path) -> None:
    done = sam_ft("fit", *SEMANTIC, "adapt=lora", "optimiser.ema=0.9", "monitoring.pictures=1", "output=run")
    assert done.code == 0, done.err
    assert "Classes: background, ellipse, nucleus, polygon" in done.out
    assert " classes of pixels; " in done.out
    assert "Best validation miou: " in done.out
    assert (tmp_path / "run" / "pictures" / "step_000001.png").is_file()
    assert (tmp_path / "run" / "adapter").is_dir()
    assert load_model("run/model.safetensors").pixel_class_names == ("background", "ellipse", "nucleus", "polygon")
    same = [*SEMANTIC, "adapt=lora", "optimiser.ema=0.9", "trainer.max_steps=2", "resume=run/last.ckpt"]
    longer = sam_ft("fit", *same)
    assert longer.code == 0, longer.err
    assert "Done after 2 steps" in longer.out
    assert "give the same classes" in one_line(sam_ft("fit", *same, "classes=[polygon,ellipse,nucleus]"))
    prompted = ["task=prompts", "loss=sam", "monitoring=default", "classes=null"]
    assert "give the same task" in one_line(sam_ft("fit", *same, *prompted))
    command = longer.out.strip().rpartition("Measure it: sam-ft ")[2].split()
    measured = sam_ft(*command)
    assert measured.code == 0, measured.err
    summary = json.loads((tmp_path / "run" / "evaluation" / "summary.json").read_text())
    assert 0 <= summary["miou"] <= 1 and summary["num_pixels"] == 2 * 64 * 64
    assert f"{summary['miou']:.4f}" in measured.out
    files = ["confusion.csv", "index.html", "summary.json", "summary.md", "summary.tex"]
    assert sorted(path.name for path in (tmp_path / "run" / "evaluation").iterdir()) == files
    assert "thresholds=0" in one_line(sam_ft(*command, "thresholds=2"))


def test_ctrl_c_ends_a_training_after_its_step_and_says_how_to_go_on(
    sam_ft: Program, synthetic: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SamModule.training_step

    def pressed(self: SamModule, *args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(SamModule, "training_step", pressed)
        stopped = sam_ft("fit", *synthetic, "trainer.max_steps=3", "trainer.val_check_interval=3", "output=run")
    assert stopped.code == 130
    assert "Stopping after this step" in stopped.out
    last_line = stopped.err.strip().splitlines()[-1]
    assert last_line == "Stopped after 1 steps. To go on, give the same command with resume=run/last.ckpt"
    assert "with resume=... beside it" in one_line(sam_ft("fit", "resume=run/last.ckpt"))
    done = sam_ft("fit", *synthetic, "trainer.max_steps=3", "trainer.val_check_interval=3", "resume=run/last.ckpt")
    assert done.code == 0, done.err
    assert "Going on after 1 steps, from run/last.ckpt." in done.out


def test_the_head_of_another_task_gives_way(sam_ft: Program, synthetic: list[str]) -> None:
    assert sam_ft("fit", *SEMANTIC, "monitoring.pictures=0", "output=run").code == 0
    prompted = sam_ft("fit", *synthetic, "data.num_train=6", "model.weights=run/best.ckpt", "classes=auto", "output=b")
    assert "The head for background, ellipse, nucleus, polygon is left out" in prompted.out
    model = load_model("b/best.ckpt")
    assert model.pixel_class_names == () and model.class_names == ("ellipse", "nucleus", "polygon")


@pytest.mark.parametrize(
    "overrides, expected",
    [
        (["classes=null"], ["`classes`", "know none"]),
        (["adapt=hq"], ["`adapt` other than hq"]),
        (["memory.checkpoint_rounds=true"], ["`checkpoint_rounds`", "no rounds of prompts"]),
        (["compile=sometimes"], ["`compile`", "'sometimes'"]),
        (["classes=[polygon]"], ["polygon", "the validation part", "ellipse"]),
        (["monitoring.metric=miou@1"], ["miou, pixel_accuracy", "miou@1"]),
        (["loss=sam"], ["task=semantic", "sam_loss"]),
        (["monitoring=default"], ["monitoring=semantic for task=semantic"]),
        (["class_weight=2"], ["`class_weight`"]),
        (["task=semantics"], ["prompts, semantic", "Did you mean `semantic`?"]),
        (["loss.dice_weight=-1"], ["`dice_weight`", "-1"]),
    ],
)
def test_a_mistake_in_a_semantic_training_is_one_line(
    sam_ft: Program, tmp_path: Path, overrides: list[str], expected: list[str]
) -> None:
    message = one_line(sam_ft("fit", *SEMANTIC, "output=run", *overrides))
    assert all(part in message for part in expected), message
    assert files(tmp_path) == set()


def test_what_does_not_fit_is_trained_nevertheless_and_comes_with_what_would_fit(
    sam_ft: Program, synthetic: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam_ft.lightning.memory.advice.room_on", lambda device, num_processes: 150 * 2**20)
    done = sam_ft("fit", *synthetic, "monitoring.pictures=0", "prompts=mixture", "output=run")
    assert done.code == 2 and "num_clicks" in done.err  # no setting of a mixture
    settings = [override for override in synthetic if not override.startswith("prompts.")]
    done = sam_ft("fit", *settings, "monitoring.pictures=0", "prompts=sam_med2d", "output=run")
    assert done.code == 0, done.err
    assert "This may not fit. What each of these makes of it:" in done.out
    assert "prompts.num_clicks" not in done.out  # no setting of this preset
    enough = done.out.partition("Enough: ")[2].partition(", with")[0].split()
    assert enough == ["memory.checkpoint_rounds=true"]
    done = sam_ft("fit", *settings, "monitoring.pictures=0", "prompts=sam_med2d", *enough, "output=fits")
    assert done.code == 0 and "may not fit" not in done.out


def test_what_is_printed_at_the_end_is_there_and_runs(sam_ft: Program, synthetic: list[str], tmp_path: Path) -> None:
    done = sam_ft("fit", *synthetic, "data.num_test=0", "monitoring.pictures=0")
    assert done.code == 0, done.err
    (folder,) = (tmp_path / "runs" / "fit").iterdir()
    assert "pictures" not in done.out
    command = done.out.strip().rpartition("Measure it: sam-ft ")[2].split()
    assert "part=val" in command
    assert sam_ft(*command).code == 0
    assert (folder / "evaluation" / "summary.json").is_file()


@pytest.mark.parametrize(
    "overrides, expected",
    [
        (["trainer.max_stepz=3"], ["`trainer.max_stepz`", "`trainer.max_steps`"]),
        (["modle.image_size=64"], ["Did you mean `model`?"]),
        (["model=vit_bb"], ["vit_b, vit_h, vit_l, vit_tiny"]),
        (
            ["data=nifty"],
            [
                DATA,
                "Did you mean `nifti`?",
            ],
        ),
        (["model.image_size=60"], ["multiple of 16", "60"]),
        (["model.image_size=big"], ["model.image_size", "'big'"]),
        (["model.weights=nowhere.pth"], ["nowhere.pth"]),
        (["adapt=heads"], ["adapter, decoder, full, hq, lora, norm_and_bias, prompt_and_decoder", "'heads'"]),
        (["adapt=lora", "adapt.rank=0"], ["`rank`", "at least 1"]),
        (["adapt=lora", "adapt.layers=[neck]"], ["`layers`", "image_encoder.blocks.0.attn.qkv"]),
        (["adapt=decoder", "adapt.parts=[heads]"], ["image_encoder, prompt_encoder, mask_decoder", "heads"]),
        (["optimiser.lr_factors.encoder=0.1"], ["Did you mean `optimiser.lr_factors.image_encoder`"]),
        (["+optimiser.lr_factors.encoder=0.1"], ["image_encoder, prompt_encoder, mask_decoder", "'encoder'"]),
        (["optimiser.warmup=1.5"], ["`warmup`", "1.5"]),
        (["model.drop_path=1"], ["`drop_path`", "1"]),
        (["resume=nowhere.ckpt"], ["nowhere.ckpt"]),
        (["monitoring.metric=miou@7"], ["miou@1, miou@3, miou@5, miou@box"]),
        (["monitoring=semantic"], ["monitoring=default for task=prompts"]),
        (["trainer.precision=bf16-true"], ["bf16-mixed"]),
        (["loader.augment=strong"], ["none, light, microscopy, medical"]),
        (["trainer.accelerator=abacus"], ["abacus"]),
        (["+trainer.max_stepz=3"], ["max_stepz"]),
        (["trainer.val_check_interval=5"], ["val_check_interval=5"]),
        (["optimiser.lr=fast"], ["optimiser"]),
        (["classes=ellipse"], ["`classes`", "auto", "'ellipse'"]),
        (["classes=[a,a]"], ["once", "a, a"]),
        (["classes=[polygon]"], ["polygon", "the validation part", "ellipse"]),
        (["class_weight=-1"], ["`class_weight`", "-1"]),
        (["seed=-1"], ["`seed`"]),
        (["compile=sometimes"], ["`compile`", "'sometimes'"]),
        (["memory.checkpoint_blocks=sometimes"], ["`checkpoint_blocks`", "'sometimes'"]),
        (["trainer.accumulate_grad_batches=0"], ["`trainer.accumulate_grad_batches`", "at least 1"]),
        (["prompts.num_clicks=1.5"], ["`num_clicks`", "1.5"]),
        (["optimiser.betas=[0.9]"], ["`betas`", "[0.9]"]),
        (["loader.max_objects=null"], ["`max_objects`", "None"]),
        (["model=vit_b", "model.image_size=64", "model.weights=vit_tiny_phantoms"], ["model=vit_tiny"]),
        (["steps"], ["name=value", "'steps'"]),
    ],
)
def test_a_mistake_in_an_override_is_one_line_and_leaves_nothing(
    sam_ft: Program, synthetic: list[str], tmp_path: Path, overrides: list[str], expected: list[str]
) -> None:
    message = one_line(sam_ft("fit", *synthetic, "output=run", *overrides))
    assert all(part in message for part in expected), message
    assert files(tmp_path) == set()


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_help_tells_every_setting(sam_ft: Program, tmp_path: Path, command: str) -> None:
    told = sam_ft(command, "--help")
    assert told.code == 0, told.err
    settings = {"fit": ["data:", "max_steps: ", "lr: ", "adapt: "], "evaluate": ["checkpoint: ", "part: ", "clicks:"]}
    assert [name for name in settings[command] if name not in told.out] == []
    assert files(tmp_path) == set()


def test_data_must_be_chosen_and_located(sam_ft: Program, tmp_path: Path) -> None:
    for arguments in ([], ["data.images=a.nii.gz"]):
        line = one_line(sam_ft("fit", *arguments))
        assert f"add data=NAME, one of {DATA}." in line
    assert "data.images=... data.labels=..." in one_line(sam_ft("fit", "data=nifti"))
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "label, shift, expected",
    [
        (LABEL[:7], 0.0, ["label.nii.gz", "(7, 8, 10)", "(8, 8, 10)"]),
        (LABEL, 0.5, ["label.nii.gz", "0.5 voxels apart"]),
        (LABEL * 0, 0.0, ["label.nii.gz", "at least one object"]),
        (LABEL.astype(np.float32) / 2, 0.0, ["label.nii.gz", "integer labels"]),
    ],
)
def test_a_label_that_does_not_fit_its_image_is_named(
    sam_ft: Program, tmp_path: Path, label: np.ndarray, shift: float, expected: list[str]
) -> None:
    message = one_line(sam_ft("fit", *volumes(tmp_path, label, shift=shift), "output=run"))
    assert all(part in message for part in expected), message
    assert files(tmp_path) == {"image.nii.gz", "label.nii.gz"}


def test_a_path_that_is_not_there_is_named(sam_ft: Program, tmp_path: Path) -> None:
    overrides = volumes(tmp_path)
    (tmp_path / "image.nii.gz").unlink()
    assert "image.nii.gz" in one_line(sam_ft("fit", *overrides, "output=run"))
    assert "nowhere" in one_line(sam_ft("fit", "data=image_mask", "data.root=nowhere", "output=run"))
    assert files(tmp_path) == {"label.nii.gz"}


def test_a_single_volume_cannot_be_split_by_volumes_and_the_message_says_what_to_do(
    sam_ft: Program, tmp_path: Path
) -> None:
    overrides = [override for override in volumes(tmp_path) if override != "data/split=slabs"]
    assert "data/split=slabs" in one_line(sam_ft("fit", *overrides, "output=run"))


@pytest.mark.parametrize("part, workers", [("images", 0), ("images", 1), ("labels", 0)])
def test_an_image_that_cannot_be_decoded_is_named(
    sam_ft: Program, synthetic: list[str], image_folder: Path, tmp_path: Path, part: str, workers: int
) -> None:
    """Cut off in the middle, so that the sizes in the header are right and only decoding finds out."""
    for path in sorted((image_folder / part).iterdir()):
        path.write_bytes(path.read_bytes()[:-30])
    before = files(tmp_path)
    settings = [override for override in synthetic if not override.startswith("data")]
    more = ["data=image_mask", f"data.root={image_folder}", f"loader.num_workers={workers}", "monitoring.pictures=0"]
    done = sam_ft("fit", *settings, *more, "output=run")
    assert done.code == 2
    message = done.err.splitlines()[-1]
    assert message.startswith("sam-ft: Expected an image in ") and f"{part}/" in message and ".png" in message
    assert "Traceback" not in done.err
    assert files(tmp_path) == before


@pytest.mark.data
def test_nuclei_train_from_their_folder(
    sam_ft: Program, synthetic: list[str], data_folder: Path, tmp_path: Path
) -> None:
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            source = data_folder / "nuclei" / part / kind
            if not source.is_dir():
                pytest.skip(f"{source} is not there")
            target = tmp_path / "few" / part / kind
            target.mkdir(parents=True)
            for path in sorted(source.iterdir())[:2]:
                shutil.copy(path, target / path.name)
    settings = [override for override in synthetic if not override.startswith("data")]
    done = sam_ft("fit", *settings, "data=image_mask", "data.root=few", "output=run", "monitoring.clicks=[1]")
    assert done.code == 0, done.err
