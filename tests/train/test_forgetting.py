"""`sam-ft forgetting` as a user meets it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sam_ft.checkpoints import save_safetensors
from sam_ft.models.sam.heads import add_semantic_head
from sam_ft.models.sam.variants import build_model

Program = Callable[..., Any]
OTHER = ["data@other=phantoms", "other.num_train=1", "other.num_val=1", "other.num_test=10", "other.image_size=64"]
QUICK = ["clicks=[1]", "pictures=1", "everything=2", "points_per_side=3"]


@pytest.fixture
def trained(sam_ft: Program, synthetic: list[str]) -> str:
    """The checkpoint of a training of one step that started from the weights of the package."""
    start = ["model.weights=vit_tiny_phantoms", "monitoring.thresholds=0", "monitoring.pictures=0"]
    done = sam_ft("fit", *synthetic, *start, "output=run", "monitoring.clicks=[1]")
    assert done.code == 0, done.err
    return "run/best.ckpt"


def one_line(result: Any) -> str:
    assert result.code == 2, result.err
    assert result.err.startswith("sam-ft: ")
    assert result.err.count("\n") == 1
    return result.err


def test_a_report_compares_both_models_on_both_data_sets(sam_ft: Program, trained: str, tmp_path: Path) -> None:
    done = sam_ft("forgetting", f"after={trained}", "output=report", *OTHER, *QUICK)
    assert done.code == 0, done.err
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {
        "index.html",
        "forgetting.json",
        *(f"records_{name}_{side}.csv" for name in ("domain", "other") for side in ("before", "after")),
        *(f"everything_{name}.csv" for name in ("domain", "other")),
    }
    written = json.loads((tmp_path / "report" / "forgetting.json").read_text())
    assert (written["before"], written["after"]) == ("vit_tiny_phantoms", trained)
    prompts = ["1 click", "box", "everything, SAM's thresholds", "everything, fitted thresholds"]
    for name, num_images in (("domain", 2), ("other", 10)):
        changes = written["sets"][name]["changes"]
        assert [row["prompt"] for row in changes] == prompts
        assert [row["num_images"] for row in changes] == [num_images, num_images, 2, 2]
        for row in changes[:2]:
            assert f"{row['before']:.3f} -> {row['after']:.3f}" in done.out
            with (tmp_path / "report" / f"records_{name}_after.csv").open() as file:
                records = [each for each in csv.DictReader(file) if each["prompt"] == row["prompt"].split()[-1]]
            assert sum(float(each["iou"]) for each in records) / len(records) == pytest.approx(row["after"])
    assert any(row["before"] != row["after"] for row in written["sets"]["other"]["changes"])
    assert "sam-ft forgetting" in (tmp_path / "report" / "index.html").read_text()


def test_few_images_are_measured_where_few_are_wanted(sam_ft: Program, trained: str, tmp_path: Path) -> None:
    done = sam_ft("forgetting", f"after={trained}", "output=report", *OTHER, *QUICK[:2], "everything=0", "images=1")
    assert done.code == 0, done.err
    sets = json.loads((tmp_path / "report" / "forgetting.json").read_text())["sets"]
    assert {row["num_images"] for found in sets.values() for row in found["changes"]} == {1}
    assert {row["verdict"] for found in sets.values() for row in found["changes"]} == {"too few images"}


def test_a_model_against_itself_shows_no_difference(sam_ft: Program, tmp_path: Path) -> None:
    data = [override.replace("other.", "data.") for override in OTHER[1:]]
    models = ["before=vit_tiny_phantoms", "after=vit_tiny_phantoms", "image_size=64"]
    done = sam_ft("forgetting", *models, "output=report", "data=phantoms", *data, *OTHER, *QUICK[:2], "everything=0")
    assert done.code == 0, done.err
    sets = json.loads((tmp_path / "report" / "forgetting.json").read_text())["sets"]
    assert {row["verdict"] for found in sets.values() for row in found["changes"]} == {"no clear difference"}
    assert sets["domain"]["changes"] == sets["other"]["changes"]
    assert not list((tmp_path / "report").glob("everything_*"))


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["after=run/best.ckpt"], "add output=..."),
        (["after=run/best.ckpt", "output=report"], "add data@other=NAME"),
        (
            ["after=run/best.ckpt", "output=report", "other.root=a"],
            "add data@other=NAME, one of boundaries, brain, coco",
        ),
        (["after=run/best.ckpt", "output=report", "data@other=phantom"], "Did you mean `phantoms`?"),
        (["after=run/best.ckpt", "output=report", "data@other=image_mask"], "add other.root=..."),
        (["after=run/best.ckpt", "output=report", *OTHER, "part=tset"], "`part` to be one of train, val, test"),
        (["after=run/best.ckpt", "output=report", *OTHER, "other_part=x"], "`other_part` to be one of"),
        (["after=run/best.ckpt", "output=report", *OTHER, "other.num_test=0"], "`other_part` to be one that"),
        (["after=run/best.ckpt", "output=report", *OTHER, "everything=-1"], "everything"),
        (["after=run/best.ckpt", "output=report", *OTHER, "images=0"], "images"),
        (["after=run/best.ckpt", "output=report", *OTHER, "clicks=3"], "such as [1, 3, 5]"),
        (["after=run/best.ckpt", "output=report", *OTHER, "before=sam_vit_x"], "vit_tiny_phantoms, sam_vit_b"),
        (["after=vit_tiny_phantoms", "output=report", *OTHER, "data=synthetic"], "add before=..."),
        (["after=run/best.ckpt", "output=run/config.yaml", *OTHER], "run/config.yaml is a file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    sam_ft: Program, trained: str, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    message = one_line(sam_ft("forgetting", *arguments))
    assert expected in message, message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_training_from_random_weights_asks_what_was_before(
    sam_ft: Program, synthetic: list[str], tmp_path: Path
) -> None:
    few = ["monitoring.thresholds=0", "monitoring.pictures=0", "monitoring.clicks=[1]", "output=run"]
    assert sam_ft("fit", *synthetic, *few).code == 0
    message = one_line(sam_ft("forgetting", "after=run/best.ckpt", "output=report", *OTHER))
    assert "before=sam_vit_b" in message


def test_a_model_of_semantic_segmentation_is_refused(sam_ft: Program, tmp_path: Path) -> None:
    model = build_model("vit_tiny", image_size=64)
    add_semantic_head(model, ["a"])
    save_safetensors(model, tmp_path / "semantic.safetensors")
    data = [override.replace("other.", "data.") for override in OTHER[1:]]
    models = ["before=vit_tiny_phantoms", "after=semantic.safetensors"]
    done = sam_ft("forgetting", *models, "data=phantoms", *data, *OTHER, *QUICK, "output=report")
    assert "semantic.safetensors was taught the class of each pixel" in one_line(done)
