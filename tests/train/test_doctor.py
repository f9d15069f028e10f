"""`sam-ft doctor` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.doctor import faults_of_images, healthy, layouts

Program = Callable[..., Any]
TINY = [
    "prompts.num_clicks=1",
    "prompts.num_mask_only=0",
    "loader.max_objects=2",
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "trainer.limit_val_batches=1",
    "monitoring.wandb=disabled",
    "monitoring.pictures=1",
    "monitoring.thresholds=0",
]


def test_the_experiment_that_the_doctor_writes_is_one_that_fit_runs(sam_ft: Program, tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    faults_of_images.specks(data)
    result = sam_ft("doctor", "data=image_mask", f"data.root={data.root}", "output=look", *TINY)
    assert result.code == 0, result.err
    assert "WARNING specks" in result.out and "0 errors, 1 warning" in result.out
    text = Path("look/experiment.yaml").read_text()
    assert "sam-ft fit --config-dir look --config-name experiment" in text
    assert "min_area_px: 10  # smaller objects are probably slips of the pen" in text
    written = OmegaConf.create(text)
    assert written.data == {"root": str(data.root), "min_area_px": 10}
    assert (written.model.image_size, written.model.weights) == (256, "vit_tiny_phantoms")
    trained = sam_ft("fit", "--config-dir", "look", "--config-name", "experiment", "output=run")
    assert trained.code == 0, trained.err
    assert Path("run/last.ckpt").is_file()
    config = OmegaConf.load("run/config.yaml")
    assert (config.data.min_area_px, config.model.image_size, config.trainer.max_steps) == (10, 256, 2)


DRAWN = {"num_train": 2, "num_val": 1, "num_test": 1, "image_size": 64}


def drawn(key: str, **changes: int) -> list[str]:
    """A set of a few drawn images at a place of the config."""
    return [f"+data@{key}=synthetic", *(f"{key}.{name}={value}" for name, value in (DRAWN | changes).items())]


@pytest.mark.parametrize(
    "given",
    [
        ["data=mixture", *drawn("data.sets.a"), *drawn("data.sets.b", seed=1), "data.weights={a: 1, b: 3}"],
        ["task=unet", "data=boundaries", *drawn("data.of"), "data.boundary_px=1", "model.image_size=64"],
    ],
    ids=["mixture", "boundaries"],
)
def test_the_experiment_of_sets_within_a_data_set_is_one_that_fit_runs(sam_ft: Program, given: list[str]) -> None:
    tiny = (
        TINY
        if given[0] == "data=mixture"
        else [each for each in TINY if not each.startswith(("prompts", "monitoring.th"))]
    )
    result = sam_ft("doctor", *given, *tiny, "measure=false", "output=look")
    assert result.code == 0, result.err
    trained = sam_ft("fit", "--config-dir", "look", "--config-name", "experiment", "output=run")
    assert trained.code == 0, trained.err
    assert "after 2 steps" in trained.out and Path("run/last.ckpt").is_file()
    written, trained_on = OmegaConf.load("look/doctor.json").data, OmegaConf.load("run/config.yaml").data
    assert written == trained_on


def test_errors_are_told_by_the_exit_code_the_console_the_page_and_the_json_file(
    sam_ft: Program, tmp_path: Path
) -> None:
    data = healthy.instances(tmp_path)
    faults_of_images.unreadable_label(data)
    faults_of_images.unreadable_image(data)
    broken = str(data.files("labels")[0])
    result = sam_ft("doctor", "data=image_mask", f"data.root={data.root}", "output=look", "measure=false")
    assert result.code == 1
    assert "ERROR unreadable_label: 1 label cannot be read." in result.out and broken in result.out
    told = json.loads(Path("look/doctor.json").read_text())
    assert [finding["code"] for finding in told["findings"]] == ["unreadable_image", "unreadable_label"]
    assert told["findings"][1]["found"][0]["where"] == broken
    assert (told["num_cases"], told["parts"], told["cost"]) == (24, {"train": 12, "val": 6, "test": 6}, {})
    page = Path("look/index.html").read_text()
    assert "unreadable_label" in page and broken in page and "<img" in page and 'src="http' not in page


def test_what_only_the_reader_refuses_is_an_error_too(sam_ft: Program, tmp_path: Path) -> None:
    data = healthy.instances(tmp_path)
    given = ["data=image_mask", f"data.root={data.root}", "data.min_area_px=9000", "output=look"]
    result = sam_ft("doctor", *given)
    assert result.code == 1
    assert "ERROR refused: Expected at least one object of 9000 pixels" in result.out


def test_a_data_set_that_its_reader_refuses_is_an_error_with_a_page(sam_ft: Program, tmp_path: Path) -> None:
    for name in ("a", "b"):
        healthy.save(tmp_path / "cells" / name / "images" / "image.png", healthy.picture(0)[0])
    result = sam_ft("doctor", "data=instance_folders", f"data.root={tmp_path}/cells", "output=look", "measure=false")
    assert result.code == 1, result.err
    assert "ERROR refused: Expected" in result.out and "0 images" in result.out
    assert "refused" in Path("look/index.html").read_text()
    assert [each["code"] for each in json.loads(Path("look/doctor.json").read_text())["findings"]] == ["refused"]


@pytest.mark.parametrize(
    "given", [["data=mixture", "data.sets.a"], ["data=boundaries", "data.of"]], ids=lambda given: given[0]
)
def test_a_set_within_a_data_set_that_is_refused_is_an_error_with_a_page(
    sam_ft: Program, given: list[str], tmp_path: Path
) -> None:
    data = layouts.nnunet(tmp_path)
    label = data.files("labelsTr", ".")[0]
    label.write_bytes(label.read_bytes()[:200])
    choice, key = given
    result = sam_ft("doctor", choice, f"+data@{key}=nnunet", f"{key}.root={data.root}", "output=look", "measure=false")
    assert result.code == 1, result.err
    assert "ERROR refused: Expected" in result.out and str(label) in result.out
    assert str(label) in Path("look/index.html").read_text()


def test_what_a_reader_warns_of_is_a_finding(sam_ft: Program, tmp_path: Path) -> None:
    data = layouts.nnunet(tmp_path)
    label = data.files("labelsTr", ".")[0]
    healthy.save_volume(label, healthy.volume(0)[1] * 0)
    given = ["+data@data.sets.a=nnunet", f"data.sets.a.root={data.root}"]
    result = sam_ft("doctor", "data=mixture", *given, "output=look", "measure=false")
    assert result.code == 0, result.err
    assert "WARNING reader_warns" in result.out and "1 of 10 label volumes hold no object" in result.out
    assert result.out.startswith("72 images")  # what readers say beside is not shown


def test_one_damaged_volume_of_a_described_data_set_is_one_finding(sam_ft: Program, tmp_path: Path) -> None:
    data = layouts.nnunet(tmp_path)
    label = data.files("labelsTr", ".")[0]
    label.write_bytes(label.read_bytes()[:200])
    result = sam_ft("doctor", "data=nnunet", f"data.root={data.root}", "output=look", "measure=false")
    assert result.code == 1, result.err
    assert "10 volumes (6 train, 2 val, 2 test)" in result.out and "ERROR unreadable_label: 1 label" in result.out
    told = json.loads(Path("look/doctor.json").read_text())
    assert [finding["code"] for finding in told["findings"]] == ["unreadable_label"]
    assert [(each["value"], each["labels"]) for each in told["values"]] == [(1, 9)]


def test_what_the_user_has_set_is_kept_and_not_suggested(sam_ft: Program, tmp_path: Path) -> None:
    data = healthy.classes(tmp_path)
    given = ["data=semantic_maps", f"data.root={data.root}", "task=semantic", "data.classes={cell: 1, wall: 2}"]
    result = sam_ft("doctor", *given, "output=look", "model.image_size=64", "+trainer.profiler=simple", "adapt=decoder")
    assert result.code == 0, result.err
    assert "Nothing is wrong" in result.out and "Settings that suit it" not in result.out
    assert "memory: about" in result.out and "time: about" in result.out
    written = OmegaConf.load("look/experiment.yaml")
    assert written.defaults == [
        "fit", {"override /data": "semantic_maps"}, {"override /task": "semantic"}, {"override /adapt": "decoder"},
        "_self_",
    ]  # fmt: skip
    assert written.data.classes == {"cell": 1, "wall": 2}
    assert written.trainer == {"profiler": "simple"}
    assert "limit" not in written and "output" not in written


def test_volumes_are_looked_at(sam_ft: Program, tmp_path: Path) -> None:
    data = healthy.volumes(tmp_path)
    kinds = [f"data.{kind}='{data.root}/*/{kind}/scan.nii.gz'" for kind in ("images", "labels")]
    result = sam_ft("doctor", "data=nifti", *kinds, "data.objects.kind=components", "output=look", "measure=false")
    assert result.code == 0, result.err
    assert "10 volumes (6 train, 2 val, 2 test)" in result.out
    told = json.loads(Path("look/doctor.json").read_text())
    assert [each["value"] for each in told["values"]] == [1]


@pytest.mark.parametrize(
    "given, said",
    [
        ((), "add data=NAME"),
        (("data=image_mask", "data.root=nowhere"), "Expected nowhere to hold the folders"),
        (("data=synthetic", "limit=0"), "Expected `limit`"),
        (("data=synthetic", "measure=maybe"), "Expected `measure` to be true or false"),
    ],
)
def test_a_mistake_of_the_user_is_one_line(sam_ft: Program, given: tuple[str, ...], said: str) -> None:
    result = sam_ft("doctor", *given, "output=look")
    assert result.code == 2 and said in result.err and result.err.count("\n") == 1
