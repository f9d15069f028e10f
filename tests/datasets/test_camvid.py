from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_ft.cli import find_folder
from sam_ft.data.image_files import read_label_map
from sam_ft.data.splits import DataSplits


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return runpy.run_path(str(find_folder("datasets") / "camvid.py"))


def drives_of(folder: Path) -> dict[str, set[str]]:
    return {
        part.name: {path.stem.partition("_")[0] for path in (part / "images").iterdir()}
        for part in folder.iterdir()
        if part.is_dir()
    }


def segnet(folder: Path, name: str, labels: np.ndarray, *, part: str) -> None:
    for place, pixels in ((part, np.zeros((*labels.shape, 3), np.uint8)), (f"{part}annot", labels)):
        (folder / "CamVid" / place).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "CamVid" / place / f"{name}.png")


def test_no_drive_is_in_two_parts(kitchen: Any) -> None:
    drives = drives_of(kitchen.prepare("camvid").folder)
    assert drives == {"train": {"0001TP", "0016E5"}, "val": {"0006R0"}, "test": {"Seq05VD"}}


def test_segnets_copy_is_divided_anew_since_its_lists_share_drives(kitchen: Any, tmp_path: Path) -> None:
    labels = np.array([[0, 10], [11, 3]], dtype=np.uint8)
    for part, name in (
        ("train", "0016E5_00390"),
        ("val", "0016E5_07959"),
        ("train", "0006R0_f00930"),
        ("test", "0001TP_008550"),
        ("test", "Seq05VD_f00000"),
    ):
        segnet(tmp_path / "source", name, labels, part=part)
    record = kitchen.prepare("camvid", tmp_path / "source")
    assert record.counts == {"train": {"images": 3}, "val": {"images": 1}, "test": {"images": 1}}
    assert drives_of(record.folder)["train"] == {"0001TP", "0016E5"}
    assert read_label_map(record.folder / "train" / "labels" / "0016E5_07959.png").tolist() == labels.tolist()


def test_the_32_colours_become_11_classes_and_void(recipe: dict[str, Any], tmp_path: Path) -> None:
    named = [(number, colour) for number, name in enumerate(recipe["CLASSES"]) for colour in recipe["COLOURS"][name]]
    assert len({colour for _, colour in named}) == len(named) == 31  # black, the 32nd, is void
    path = tmp_path / "0001TP_006690_L.png"
    Image.fromarray(np.array([[colour for _, colour in named] + [(0, 0, 0)]], dtype=np.uint8)).save(path)
    assert recipe["numbers_of"](path).tolist() == [[number for number, _ in named] + [11]]


def test_a_colour_of_no_class_becomes_void_and_is_said(
    recipe: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(np.array([[(1, 2, 3), (128, 128, 128)]], dtype=np.uint8)).save(tmp_path / "a_L.png")
    assert recipe["numbers_of"](tmp_path / "a_L.png").tolist() == [[11, 0]]
    assert "a_L.png: 1 pixels have a colour of no class" in caplog.text


@pytest.mark.parametrize("kind", ["fastai", "numbers", "lone"])
def test_labels_that_mean_something_else_are_refused(kitchen: Any, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    segnet(source, "0001TP_006690", np.full((2, 2), 31 if kind == "numbers" else 3, dtype=np.uint8), part="train")
    annotated = source / "CamVid" / "trainannot"
    if kind == "fastai":
        (annotated / "0001TP_006690.png").rename(annotated / "0001TP_006690_P.png")
    if kind == "lone":
        segnet(source, "0016E5_00390", np.zeros((2, 2), dtype=np.uint8), part="train")
        (annotated / "0016E5_00390.png").unlink()
    reason = {
        "fastai": "fast.ai's copy",
        "numbers": "Expected the numbers 0 to 11",
        "lone": "0016E5_00390 has only one",
    }
    with pytest.raises(ValueError, match=reason[kind]):
        kitchen.prepare("camvid", source)


@pytest.mark.data
def test_real_road_scenes_are_prepared_without_a_shared_drive(
    kitchen: Any, data_folder: Path, read: Callable[..., DataSplits]
) -> None:
    record = kitchen.prepare("camvid", data_folder / "camvid")
    assert record.counts == {"train": {"images": 142}, "val": {"images": 32}, "test": {"images": 36}}
    assert drives_of(record.folder) == {"train": {"0001TP", "0016E5"}, "val": {"0006R0"}, "test": {"Seq05VD"}}
    sample = read(record).train[0]
    assert {"Sky", "Road", "Building"} <= set(sample.class_names)
    assert sample.ignored is not None and sample.ignored.any()


@pytest.mark.data
def test_prepared_real_road_scenes_can_be_trained_on_and_evaluated(
    kitchen: Any, data_folder: Path, evaluated: Callable[..., dict[str, float]]
) -> None:
    record = kitchen.prepare("camvid", data_folder / "camvid", limit=2)
    summary = evaluated(record, "test")
    labels = [read_label_map(path) for path in (record.folder / "test" / "labels").iterdir()]
    assert len(labels) == summary["num_images"] == 2
    assert summary["num_pixels"] == sum(np.count_nonzero(each < 11) for each in labels)  # without void
    assert 0 <= summary["miou"] < 1 and 0 <= summary["pixel_accuracy"] < 1
