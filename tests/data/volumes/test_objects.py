from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sam_ft.data.volumes.objects import ObjectRule, has_value, present_values

LABELS = np.array(
    [
        [1, 1, 0, 0, 2],
        [1, 1, 0, 0, 2],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [3, 0, 0, 1, 1],
    ]
)
SQUARE = (1.0, 1.0)
FILE = Path("label.nii")


def found(rule: ObjectRule, pixel_mm: tuple[float, float] = SQUARE) -> list[tuple[str, int]]:
    masks, names = rule.objects_of(LABELS, pixel_mm=pixel_mm, path=FILE)
    assert masks.dtype == bool and masks.shape == (len(names), 5, 5)
    return [(name, int(mask.sum())) for name, mask in zip(names, masks, strict=True)]


def test_every_value_above_zero_is_a_class_by_default() -> None:
    assert found(ObjectRule(min_area_px=1)) == [("label_1", 7), ("label_2", 2), ("label_3", 1)]


def test_components_are_connected_across_corners() -> None:
    assert found(ObjectRule(kind="components", min_area_px=1)) == [
        ("label_1", 5), ("label_1", 2), ("label_2", 2), ("label_3", 1),
    ]  # fmt: skip


def test_classes_may_join_values_and_overlap() -> None:
    rule = ObjectRule(classes={"one": 1, "two": [2], "all": [1, 2, 3]}, min_area_px=1)
    assert found(rule) == [("one", 7), ("two", 2), ("all", 10)]


def test_touching_values_of_one_class_are_one_component() -> None:
    masks, names = ObjectRule(kind="components", classes={"both": [1, 2]}, min_area_px=1).objects_of(
        np.array([[1, 2, 0, 1]]), pixel_mm=SQUARE, path=FILE
    )
    assert names == ("both", "both") and masks.sum(axis=(1, 2)).tolist() == [2, 1]


def test_smallest_area_in_pixels_includes_its_limit() -> None:
    assert found(ObjectRule(min_area_px=2)) == [("label_1", 7), ("label_2", 2)]
    assert found(ObjectRule(kind="components", min_area_px=3)) == [("label_1", 5)]


def test_smallest_area_in_mm2_uses_the_size_of_a_pixel() -> None:
    rule = ObjectRule(min_area_px=1, min_area_mm2=1.0)
    assert found(rule, (0.5, 0.5)) == [("label_1", 7)]  # 1.75, 0.5 and 0.25 mm2
    assert len(found(rule, (2.0, 0.5))) == 3


def test_a_slice_without_objects_gives_empty_masks() -> None:
    masks, names = ObjectRule().objects_of(np.zeros((4, 6), dtype=np.uint8), pixel_mm=SQUARE, path=FILE)
    assert masks.shape == (0, 4, 6) and names == ()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kind": "instances"}, "labels, components.*'instances'"),
        ({"classes": {}}, "at least one class"),
        ({"classes": {"ground": 0}}, "'ground'.*above 0"),
        ({"classes": {"grey": []}}, "'grey'"),
        ({"classes": {"grey": [1.5]}}, "'grey'"),
        ({"min_area_px": -1}, "0 or more"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ObjectRule(**arguments)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.uint32, np.int64])
def test_values_are_found_as_numpy_finds_them(dtype: type) -> None:
    labels = np.random.default_rng(0).choice([0, 1, 3, 200], (7, 9)).astype(dtype)
    assert present_values(labels) == np.unique(labels).tolist()
    assert np.array_equal(has_value(labels, (1, 200, 999)), np.isin(labels, (1, 200, 999)))


def test_more_objects_than_fit_into_memory_are_refused_by_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two masks of 25 pixels have room, and three do not: an image in the place of its labels would have thousands."""
    monkeypatch.setattr("sam_ft.masks.room._MOST_BYTES", 50)
    assert len(found(ObjectRule(min_area_px=2))) == 2
    for kind in ("labels", "components"):
        with pytest.raises(ValueError, match="in label.nii, but got 3 objects of 5 x 5 pixels"):
            found(ObjectRule(kind=kind, min_area_px=1))
