from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_ft.data.semantic_maps import ClassValues, SemanticMaps, read_class_values, semantic_maps_splits
from sam_ft.data.splits import GroupSplit

LABELS = np.array([[0, 0, 1, 1], [0, 3, 3, 255], [7, 7, 7, 8]], dtype=np.uint8)
VALUES = ClassValues({"road": 3, "car": [7, 8], "sky": 0}, ignored=255)


def save_pair(folder: Path, stem: str, labels: np.ndarray = LABELS) -> None:
    for kind, pixels in (("images", np.full((*labels.shape, 3), 9, dtype=np.uint8)), ("labels", labels)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{stem}.png")


def maps_of(folder: Path, values: ClassValues = VALUES) -> SemanticMaps:
    return SemanticMaps(folder / "images", folder / "labels", values=values)


def test_a_class_is_one_object_and_unnamed_numbers_are_none(tmp_path: Path) -> None:
    save_pair(tmp_path, "a")
    (sample,) = maps_of(tmp_path)
    assert sample.class_names == ("road", "car", "sky") and sample.name == "a"
    expected = [LABELS == 3, np.isin(LABELS, (7, 8)), LABELS == 0]
    assert np.array_equal(sample.masks.numpy(), np.stack(expected))
    assert np.array_equal(sample.ignored, LABELS == 255)  # type: ignore[arg-type]
    assert not sample.masks[:, 0, 2].any()


def test_an_image_may_have_no_class_but_not_all_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_pair(tmp_path, "a", np.ones((3, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"labels, but there is none"):
        maps_of(tmp_path)
    save_pair(tmp_path, "b", np.full((3, 4), 3, dtype=np.uint8))
    with caplog.at_level(logging.WARNING):
        samples = maps_of(tmp_path)
    assert [len(sample.masks) for sample in samples] == [0, 1]
    assert samples.class_names == ("road", "car", "sky")
    assert "has a pixel of car, sky" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        {"classes": {"3": "road", "7": "car", "255": "unlabelled"}, "void": 255},
        {"classes": {"road": 3, "car": 7}, "void": [255]},
    ],
)
def test_a_json_file_says_the_classes_either_way(tmp_path: Path, content: dict) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(content))
    assert read_class_values(tmp_path / "classes.json") == ClassValues({"road": 3, "car": 7}, ignored=(255,))


@pytest.mark.parametrize("content", ["[]", "{", '{"void": 1}', '{"classes": {"a": "b"}}', '{"classes": {}}'])
def test_a_json_file_that_says_something_else_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(ValueError, match=r"in .*classes\.json, but"):
        read_class_values(tmp_path / "classes.json")


@pytest.mark.parametrize(
    "classes, ignored, message",
    [
        ({}, (), "at least one class"),
        ({"a": []}, (), "'a'"),
        ({"a": -1}, (), "'a'.*-1"),
        ({"a": 1.5}, (), "'a'"),
        ({"a": 1, "b": [2, 1]}, (), "one meaning of 1, but got 'a' and 'b'"),
        ({"a": 1}, 1, "'a' and 'ignored'"),
    ],
)
def test_numbers_without_one_meaning_are_refused(classes: dict, ignored: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassValues(classes, ignored=ignored)  # type: ignore[arg-type]


def test_parts_and_classes_come_from_the_root(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save_pair(tmp_path / part, "a")
    with pytest.raises(ValueError, match=r"classes.json with"):
        semantic_maps_splits(tmp_path, split=GroupSplit())
    (tmp_path / "classes.json").write_text('{"classes": {"road": 3}, "void": 255}')
    told = semantic_maps_splits(tmp_path, split=GroupSplit())
    assert told.test is None and told.train[0].class_names == ("road",)
    assert told.train[0].ignored.sum() == 1  # type: ignore[union-attr]
    given = semantic_maps_splits(tmp_path, split=GroupSplit(), classes={"car": 7}, ignored=[1, 0])
    assert given.val[0].class_names == ("car",)
    assert given.val[0].ignored.sum() == 5  # type: ignore[union-attr]
    assert semantic_maps_splits(tmp_path, split=GroupSplit(), classes={"car": 7}).val[0].ignored is None


@pytest.mark.data
def test_camvid_has_eleven_classes_and_unknown_pixels(data_folder: Path) -> None:
    splits = semantic_maps_splits(data_folder / "camvid", split=GroupSplit())
    assert splits.test is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (120, 30, 60)
    assert len(splits.train.class_names) == 11 and "Unlabelled" not in splits.train.class_names  # type: ignore[attr-defined]
    sample = splits.val[0]
    assert sample.ignored is not None
    assert (sample.masks.sum(dim=0) + sample.ignored == 1).all()  # each pixel is of one class or unknown
