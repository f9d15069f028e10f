from __future__ import annotations

import csv
import json
from collections import defaultdict
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
    import runpy

    return runpy.run_path(str(find_folder("datasets") / "nuclei.py"))


def test_the_first_mask_keeps_a_pixel_that_two_claim(kitchen: Any) -> None:
    record = kitchen.prepare("nuclei")
    labels = read_label_map(next((record.folder / "train" / "labels").glob("image*.png")))
    assert np.unique(labels, return_counts=True)[1].tolist() == [24 * 32 - 36 - 60, 36, 60]
    assert labels[7, 7] == 1 and labels[8, 8] == 2


def test_the_runs_of_the_solution_go_down_the_columns(kitchen: Any) -> None:
    record = kitchen.prepare("nuclei")
    labels = read_label_map(record.folder / "test" / "labels" / "x.png")
    assert labels[:4, :3].tolist() == [[1, 1, 2], [1, 1, 2], [1, 1, 0], [0, 0, 0]]
    assert {path.stem for path in (record.folder / "test" / "images").iterdir()} == {"x", "y"}


def test_tiles_whose_edges_match_go_to_one_part(kitchen: Any) -> None:
    record = kitchen.prepare("nuclei")
    place = {path.stem: path.parent.parent.name for path in record.folder.glob("*/images/*.png")}
    assert place["left"] == place["right"]


def test_fields_of_view_are_found_in_both_directions_and_nowhere_else(recipe: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64]
    wide = (90 + 60 * np.sin(x / 7) * np.cos(y / 9) + rng.normal(0, 2, (64, 64))).clip(0, 255).astype(np.uint8)
    tiles = [wide[:32, :32], wide[:32, 32:], wide[32:, :32], rng.integers(0, 255, (32, 32), dtype=np.uint8)]
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, tile in zip(paths, tiles, strict=True):
        Image.fromarray(tile).save(path)
    assert recipe["fields_of_view"](paths) == [[0, 1, 2], [3]]


def test_without_stage1_test_a_fifth_of_the_fields_is_test(
    kitchen: Any, published: Callable[[str], Path], read: Callable[..., DataSplits]
) -> None:
    splits = read(kitchen.prepare("nuclei", published("nuclei") / "stage1_train.zip"))
    assert splits.test is not None
    assert len(splits.train) + len(splits.val) + len(splits.test) == 10 and len(splits.test) >= 1


def test_a_solution_that_is_something_else_is_refused(kitchen: Any, published: Callable[[str], Path]) -> None:
    folder = published("nuclei")
    (folder / "stage1_solution.csv").write_text("name,age\nann,3\n")
    with pytest.raises(ValueError, match="Expected ImageId, EncodedPixels, Height and Width in .*stage1_solution.csv"):
        kitchen.prepare("nuclei", folder)


@pytest.mark.data
def test_real_nuclei_are_prepared_and_fields_of_view_stay_together(
    kitchen: Any, data_folder: Path, read: Callable[..., DataSplits]
) -> None:
    record = kitchen.prepare("nuclei", data_folder / "nuclei")
    assert sum(held["images"] for held in record.counts.values()) == 459
    assert sum(held["objects"] for held in record.counts.values()) == 19875
    field_of = {row["id"]: row["group"] for row in csv.DictReader((data_folder / "nuclei" / "index.csv").open())}
    parts: dict[str, set[str]] = defaultdict(set)
    for path in record.folder.glob("*/images/*.png"):
        parts[field_of[path.stem]].add(path.parent.parent.name)
    apart = [field for field, places in parts.items() if len(places) > 1]
    assert (len(parts), len(apart)) == (146, 12)  # some tiles only touch through others that are not here
    assert read(record).train[0].class_names[0] == "nucleus"
    assert json.loads((record.folder / "dataset.json").read_text())["sources"] == [str(data_folder / "nuclei")]


@pytest.mark.data
def test_prepared_real_nuclei_can_be_trained_on_and_evaluated(
    kitchen: Any, data_folder: Path, evaluated: Callable[..., dict[str, float]]
) -> None:
    record = kitchen.prepare("nuclei", data_folder / "nuclei", limit=2)
    summary = evaluated(record, "test")
    assert summary["num_images"] == 2 and summary["num_masks"] == record.counts["test"]["objects"]
    assert 0 < summary["miou@1"] < 1 and 0 < summary["miou@box"] < 1
