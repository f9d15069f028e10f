"""The U-Net baseline and whole volumes from the command line: trained, resumed, measured beside a SAM."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sam_ft.any_checkpoints import load_any_model
from sam_ft.models.unet import UNet

Program = Callable[..., Any]
SETTINGS = [
    "task=unet",
    "model.image_size=32",
    "model.width=4",
    "trainer.accelerator=cpu",
    "trainer.max_steps=1",
    "monitoring.wandb=disabled",
    "monitoring.pictures=0",
]
SYNTHETIC = ["data=synthetic", "data.num_train=4", "data.num_val=2", "data.num_test=2", "data.image_size=64"]
VOLUMES = [
    "data=nifti",
    "data.images=data/*/image.nii.gz",
    "data.labels=data/*/label.nii.gz",
    "data.objects.classes={organ: 3}",
]


@pytest.fixture
def volumes(tmp_path: Path) -> None:
    """Five bright boxes in noise, in slices 2 to 5 of 8."""
    for number, case in enumerate("abcde"):
        label = np.zeros((20, 24, 8), dtype=np.uint8)
        label[2 + number : 12 + number, 5:17, 2:6] = 3
        noise = np.random.default_rng(number).integers(0, 40, label.shape)
        (tmp_path / "data" / case).mkdir(parents=True)
        for name, voxels in (("image", 30 * label + noise), ("label", label)):
            image = nibabel.Nifti1Image(voxels.astype(np.int16), np.diag([0.8, 0.8, 3.0, 1.0]))
            nibabel.save(image, tmp_path / "data" / case / f"{name}.nii.gz")


def one_line(result: Any) -> str:
    assert result.code == 2, result.err
    assert result.err.startswith("sam-ft: ") and result.err.count("\n") == 1
    return result.err


def test_a_unet_trains_resumes_and_is_measured_as_a_semantic_model(sam_ft: Program, tmp_path: Path) -> None:
    done = sam_ft("fit", *SYNTHETIC, *SETTINGS, "optimiser.ema=0.9", "monitoring.pictures=1", "output=run")
    assert done.code == 0, done.err
    assert "Classes: background, ellipse, nucleus, polygon" in done.out
    assert "This starts from random weights" not in done.out and "memory: about " in done.out
    assert (tmp_path / "run" / "pictures" / "step_000001.png").is_file()
    for name in ("best.ckpt", "model.safetensors"):
        model = load_any_model(f"run/{name}")
        assert isinstance(model, UNet) and model.pixel_class_names[1:] == ("ellipse", "nucleus", "polygon")
        assert model.image_size == 32
    same = [*SYNTHETIC, *SETTINGS, "optimiser.ema=0.9", "trainer.max_steps=2", "resume=run/last.ckpt"]
    longer = sam_ft("fit", *same)
    assert longer.code == 0 and "Done after 2 steps" in longer.out, longer.err
    assert "give the same classes" in one_line(sam_ft("fit", *same, "classes=[polygon,ellipse,nucleus]"))
    measured = sam_ft(*longer.out.strip().rpartition("Measure it: sam-ft ")[2].split())
    assert measured.code == 0, measured.err
    summary = json.loads((tmp_path / "run" / "evaluation" / "summary.json").read_text())
    assert 0 <= summary["miou"] <= 1 and summary["num_pixels"] == 2 * 64 * 64
    started = sam_ft("fit", *SYNTHETIC, *SETTINGS, "model.weights=run/model.safetensors", "classes=null", "output=b")
    assert started.code == 0, started.err


@pytest.mark.usefixtures("volumes")
def test_a_unet_learns_volumes_and_is_measured_on_them_beside_a_sam(sam_ft: Program, tmp_path: Path) -> None:
    learning = ["trainer.max_steps=60", "trainer.val_check_interval=60", "optimiser.lr=1e-2", "loader.augment=none"]
    trained = sam_ft("fit", *VOLUMES, *SETTINGS, *learning, "data.empty=1.0", "output=unet")
    assert trained.code == 0, trained.err
    measuring = ["protocol=volumes", "pictures=1"]
    done = sam_ft("evaluate", "checkpoint=unet/best.ckpt", "output=a", *measuring, "protocol.save_volumes=true")
    assert done.code == 0, done.err
    box = ["data=nifti", *VOLUMES[1:]]
    sam = ["checkpoint=vit_tiny_phantoms", "image_size=64"]
    asked = sam_ft("evaluate", *sam, "output=b", *measuring, *box)
    assert asked.code == 0, asked.err
    clicked = sam_ft("evaluate", *sam, "output=c", *measuring, *box, "protocol.prompt=click", "protocol.clicks=2")
    assert clicked.code == 0, clicked.err
    found = {name: json.loads((tmp_path / name / "summary.json").read_text()) for name in "abc"}
    assert [each["prompt"] for each in found.values()] == ["none", "box", "2 clicks"]
    assert found["a"]["dice"] > 0.8  # bright boxes are learnt in seconds
    assert [each["num_slices"] for each in found.values()] == [8, 4, 4]
    assert [each["left_out"]["num_slices"] for each in found.values()] == [0, 4, 4]
    assert found["a"]["object_slices_dice"] >= found["a"]["dice"]
    assert found["b"]["object_slices_dice"] == pytest.approx(found["b"]["dice"])
    assert [each["measured"]["settings"]["prompt"] for each in found.values()] == ["none", "box", "2 clicks"]
    for each in found.values():
        assert each["classes"]["organ"]["num_volumes"] == 1
        assert 0 <= each["nsd"] <= 1 and each["hd95_mm"] >= 0 and each["tolerance_mm"] == 1.0
    (written,) = (tmp_path / "a" / "volumes").iterdir()
    case = written.name.removesuffix(".nii.gz")
    source, answer = nibabel.load(f"data/{case}/image.nii.gz"), nibabel.load(written)
    assert np.array_equal(answer.affine, source.affine) and answer.shape == source.shape
    assert set(np.unique(np.asarray(answer.dataobj))) == {0, 3}
    assert "volumes.csv" in done.out and "hd95_mm" in done.out
    table = sam_ft("evaluate", "table", "SAM=b", "U-Net=a", "clicked=c", "--figures", "dice,object_slices_dice,hd95_mm")
    assert table.code == 0, table.err
    assert "| model | measured with | DSC | DSC in slices with an object | HD95, mm |" in table.out
    unet = f"{found['a']['dice']:.3f} | {found['a']['object_slices_dice']:.3f} | {found['a']['hd95_mm']:.2f}"
    assert f"| U-Net | volumes, prompt=none, image_size=32 | {unet} |" in table.out
    assert "| SAM | volumes, prompt=box, image_size=64, without 4 slices that hold no object |" in table.out
    assert "1 volume of part=test" in table.out


@pytest.mark.parametrize(
    "overrides, expected",
    [
        (["model=vit_tiny"], ["model=unet for task=unet", "vit_tiny"]),
        (["adapt=decoder"], ["adapt=full for task=unet"]),
        (["model.image_size=40"], ["a multiple of 16 from 32 on, but got 40"]),
        (["model.width=0"], ["`model.width`"]),
        (["classes=null"], ["`classes`", "no weights"]),
        (["model.weights=vit_tiny_phantoms"], ["weights of a U-Net", "holds a SAM"]),
        (["embedding_cache.folder=rows"], ["embedding_cache.folder=null for task=unet"]),
        (["task=semantic", "model=unet"], ["task=unet for a U-Net", "task=semantic"]),
        (["loss=sam"], ["task=unet", "loss=semantic"]),
    ],
)
def test_a_mistake_in_the_training_of_a_unet_is_one_line(
    sam_ft: Program, tmp_path: Path, overrides: list[str], expected: list[str]
) -> None:
    settings = [each for each in SETTINGS if not (overrides[0] == "model=vit_tiny" and "width" in each)]
    message = one_line(sam_ft("fit", *SYNTHETIC, *settings, "output=run", *overrides))
    assert all(part in message for part in expected), message
    assert list(tmp_path.iterdir()) == []


def test_a_unet_is_refused_where_prompts_are_needed(sam_ft: Program, tmp_path: Path) -> None:
    assert sam_ft("fit", *SYNTHETIC, *SETTINGS, "output=run").code == 0
    asked = ["evaluate", "checkpoint=run/best.ckpt", "output=eval"]
    for protocol in ("interactive", "automatic"):
        message = one_line(sam_ft(*asked, f"protocol={protocol}"))
        assert "takes prompts" in message and message.endswith("protocol=semantic.\n")
    assert "Expected no `clicks` for this model" in one_line(sam_ft(*asked, "clicks=[1]"))
    assert "thresholds=0" in one_line(sam_ft(*asked, "thresholds=2"))
    assert "slices of volumes for protocol=volumes" in one_line(sam_ft(*asked, "protocol=volumes"))
    forgotten = sam_ft("forgetting", "after=run/best.ckpt", "output=eval", "data@other=synthetic")
    assert "holds a U-Net" in one_line(forgotten)
    assert not (tmp_path / "eval").exists()


def test_a_unet_finds_objects_from_interiors_and_boundaries(
    sam_ft: Program, image_folder: Path, tmp_path: Path
) -> None:
    """Squares of 20 pixels, all at the same place: learnt in seconds, and found one by one."""
    data = ["data=boundaries", "+data@data.of=image_mask", f"data.of.root={image_folder}"]
    learning = ["trainer.max_steps=80", "trainer.val_check_interval=80", "optimiser.lr=1e-2", "loader.augment=none"]
    done = sam_ft("fit", *data, *SETTINGS, *learning, "output=run")
    assert done.code == 0, done.err
    assert "Classes: background, interior, boundary" in done.out
    measured = sam_ft("evaluate", "checkpoint=run/best.ckpt", "output=found", "protocol=instances", "pictures=1")
    assert measured.code == 0, measured.err
    summary = json.loads((tmp_path / "found" / "summary.json").read_text())
    assert summary["num_objects"] == summary["num_images"] == 1
    assert summary["best_iou"] > 0.7
    assert "objects.csv" in measured.out and "best_iou" in measured.out
    assert "of=NAME" in one_line(sam_ft("fit", "data=boundaries", *SETTINGS, "output=b"))
