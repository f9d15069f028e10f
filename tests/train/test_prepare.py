from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_ft.cli import find_program

Run = Callable[..., Any]


def road_scenes(folder: Path) -> Path:
    """CamVid in SegNet's layout, one frame a drive."""
    for place in ("train", "trainannot"):
        (folder / place).mkdir(parents=True)
    for drive in ("0001TP", "0006R0", "0016E5", "Seq05VD"):
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(folder / "train" / f"{drive}_1.png")
        Image.fromarray(np.repeat(np.arange(48)[:, None] // 24 * 3, 64, axis=1).astype(np.uint8)).save(
            folder / "trainannot" / f"{drive}_1.png"
        )
    return folder


def test_without_a_name_the_recipes_are_listed(sam_ft: Run) -> None:
    result = sam_ft("prepare")
    assert result.code == 0
    lines = result.out.splitlines()
    recipes = runpy.run_path(str(find_program("prepare")))["load_recipes"]()
    assert [line.split()[0] for line in lines[1 : 1 + len(recipes)]] == list(recipes)
    assert any(line.split()[:5] == ["msd_task09_spleen", "1.6", "GB", "CC", "BY-SA"] for line in lines)
    assert any(line.startswith("acdc ") and " by hand " in line for line in lines)
    assert any(line.startswith("brain_icbm152 ") and " none " in line for line in lines)


def test_a_data_set_is_prepared_trained_on_and_prepared_only_once(
    sam_ft: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = sam_ft("prepare", "camvid", "--source", road_scenes(tmp_path / "source"))
    assert result.code == 0
    assert "Prepared in data/camvid:" in result.out and "train  2 images" in result.out
    assert json.loads((tmp_path / "data" / "camvid" / "dataset.json").read_text())["name"] == "camvid"
    command = result.out.splitlines()[-1].removeprefix("Go on with: sam-ft fit ").split()
    fitted = sam_ft(
        "fit", *command, "model.image_size=64", "trainer.accelerator=cpu", "trainer.max_steps=2", "output=run",
        "trainer.val_check_interval=2", "loader.num_workers=0", "monitoring.wandb=disabled",
    )  # fmt: skip
    assert fitted.code == 0 and (tmp_path / "run" / "model.safetensors").is_file()
    again = sam_ft("prepare", "camvid")
    assert again.code == 0 and "Nothing to do: it is prepared already in data/camvid:" in again.out


def test_a_name_that_is_no_recipe_gets_the_nearest_ones(sam_ft: Run) -> None:
    for name, near in (("camvidd", "camvid"), ("msd", "msd_task01_braintumour or msd_task02_heart")):
        result = sam_ft("prepare", name)
        assert result.code == 2 and f"Did you mean {near}" in result.err and result.err.count("\n") == 1


def test_what_has_to_be_fetched_by_hand_is_one_line_and_exit_code_2(sam_ft: Run, tmp_path: Path) -> None:
    result = sam_ft("prepare", "acdc", "--output", tmp_path / "acdc")
    assert result.code == 2
    assert (
        result.err.startswith("sam-ft: Expected --source for acdc: register at https://")
        and result.err.count("\n") == 1
    )
    assert not (tmp_path / "acdc").exists()


def test_a_stopped_program_says_that_it_goes_on(sam_ft: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sam_ft.data.preparing.target import Target

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Target, "take", stop)
    result = sam_ft("prepare", "camvid", "--source", road_scenes(tmp_path / "source"), "--output", tmp_path / "out")
    assert result.code == 130 and result.err.endswith("Stopped. The same command goes on from here.\n")


@pytest.mark.data
@pytest.mark.parametrize("name", ["nuclei", "camvid"])
def test_real_data_is_prepared_and_fitted_for_two_steps(
    sam_ft: Run, name: str, data_folder: Path, tmp_path: Path
) -> None:
    source, output = data_folder / name, tmp_path / "prepared"
    result = sam_ft("prepare", name, "--source", source, "--output", output, "--limit", 4)
    assert result.code == 0
    command = result.out.splitlines()[-1].removeprefix("Go on with: sam-ft fit ").split()
    fitted = sam_ft(
        "fit", *command, "model.image_size=64", "trainer.accelerator=cpu", "trainer.max_steps=2",
        "trainer.val_check_interval=2", "loader.num_workers=0", "loader.batch_size=2", "monitoring.wandb=disabled",
        f"output={tmp_path / 'run'}",
    )  # fmt: skip
    assert fitted.code == 0 and "Done after 2 steps" in fitted.err + fitted.out
