"""The demo's judgement and words, and a short run of it; the long one is `make demo`."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import nibabel
import pytest

from sam_ft.cli import find_program
from sam_ft.data.splits import DataSplits
from sam_ft.data.synthetic import Synthetic

GOOD = {"miou@1": 0.7, "miou@3": 0.75, "miou@5": 0.8, "miou@box": 0.78, "num_masks": 120, "num_images": 23}


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    return runpy.run_path(str(find_program("demo")), run_name="demo")


def test_a_good_result_keeps_every_promise(demo: dict[str, Any]) -> None:
    assert demo["promises"](GOOD) == {
        "mIoU rises with every click": True,
        "miou@1 is at least 0.60": True,
        "miou@box is at least 0.75": True,
    }


@pytest.mark.parametrize(
    "change, broken",
    [
        ({"miou@1": 0.59}, "miou@1 is at least 0.60"),
        ({"miou@box": 0.749}, "miou@box is at least 0.75"),
        ({"miou@3": 0.8}, "mIoU rises with every click"),
        ({"miou@5": 0.74}, "mIoU rises with every click"),
    ],
)
def test_each_promise_can_be_broken(demo: dict[str, Any], change: dict[str, float], broken: str) -> None:
    kept = demo["promises"]({**GOOD, **change})
    assert [promise for promise, true in kept.items() if not true] == [broken]


def test_the_closing_words_hold_every_number_and_the_verdict(demo: dict[str, Any]) -> None:
    before = {key: value / 10 if key.startswith("miou") else value for key, value in GOOD.items()}
    kept = {"it works": True, "it flies": False}
    words = demo["closing_words"]({"before": before, "after": GOOD}, kept, files=[Path("a.html"), Path("b.nii.gz")])
    lines = [line.split() for line in words.splitlines()]
    assert ["miou@1", "0.070", "0.700"] in lines
    assert ["miou@box", "0.078", "0.780"] in lines
    assert ["yes", "it", "works"] in lines
    assert ["NO", "it", "flies"] in lines
    assert "23 slices, 120 masks" in words
    assert words.endswith("Look at a.html and b.nii.gz.")


def test_the_demo_measures_on_slices_alone(demo: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hold out a slab"):
        demo["held_out"](DataSplits(train=Synthetic(1), val=Synthetic(1), test=Synthetic(1)))


def test_the_demo_trains_by_its_experiment(demo: dict[str, Any], tmp_path: Path) -> None:
    config = demo["configure"]("demo_brain", f"output={tmp_path / 'brain'}")
    assert config.output == str(tmp_path / "brain")
    assert config.model.name == "vit_tiny"
    assert config.model.weights == "vit_tiny_phantoms"
    assert config.data.get("axis") != "sagittal"  # the template is mirror-symmetric


def test_the_whole_demo_runs(demo: dict[str, Any], tmp_path: Path) -> None:
    small = ["model.image_size=64", "trainer.max_steps=2", "trainer.val_check_interval=2", "monitoring.pictures=0"]
    few = ["data.slices=[0.2,0.5]", "data.split.val=[0.34,0.35]", "data.split.test=[0.24,0.25]"]
    overrides = [*small, *few, "prompts.num_clicks=1"]
    assert demo["demo"](tmp_path / "out", *overrides) is False  # two steps teach nothing
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written["before"].keys() == written["after"].keys() >= {"miou@1", "miou@3", "miou@5", "miou@box"}
    assert "data:image/png" in (tmp_path / "out" / "index.html").read_text()
    assert nibabel.load(tmp_path / "out" / "segmentation.nii.gz").shape == (197, 233, 189)
    assert (tmp_path / "out" / "training" / "model.safetensors").is_file()


def test_the_demo_removes_its_own_training_alone(demo: dict[str, Any], tmp_path: Path) -> None:
    demo["remove_training"](tmp_path / "nothing")
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ValueError, match="something else"):
        demo["remove_training"](tmp_path)
    (tmp_path / "last.ckpt").touch()
    demo["remove_training"](tmp_path)
    assert not tmp_path.exists()


def test_the_last_output_among_the_settings_is_the_folder(demo):
    assert demo["_output_in"](["seed=1"]) == (Path("runs/demo"), ["seed=1"])
    assert demo["_output_in"](["output=a", "seed=1", "output=b"]) == (Path("b"), ["seed=1"])
