from __future__ import annotations

from pathlib import Path

import pytest

from sam_ft.data.label_names import label_names, label_names_in
from sam_ft.data.volumes.objects import ObjectRule

PATH = Path("dataset.json")


def test_names_come_first_or_values() -> None:
    by_name = label_names({"background": 0, "liver": 1, "kidneys": [2, 3], "ignore": 4}, path=PATH)
    assert by_name.classes == {"liver": (1,), "kidneys": (2, 3)} and by_name.ignored == (4,)
    by_value = label_names({"0": "background", "1": "liver", "2": "kidneys", "3": "kidneys"}, path=PATH)
    assert by_value.classes == by_name.classes and by_value.ignored == ()


def test_regions_overlap() -> None:
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    assert label_names(regions, path=PATH).classes == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"background": 0},
        {"background": 0, "ignore": 1},
        {"liver": "1"},
        {"liver": -1},
        {"liver": True},
        {"liver": 1.0},
        {"liver": []},
        {"liver": [0, 1]},
        {"liver": None},
        {"liver": 1, "ignore": 1},
        {"1": 2},
        {"1": ""},
        {"0": "background", "1": ["liver"]},
    ],
)
def test_anything_else_is_refused_with_the_file(content: object) -> None:
    with pytest.raises(ValueError, match="dataset.json"):
        label_names(content, path=PATH)


def test_a_rule_takes_names_where_it_has_none() -> None:
    names = label_names({"liver": 1, "spleen": 2, "ignore": 9}, path=PATH)
    taken = names.rule(ObjectRule(min_area_px=3))
    assert taken.classes == names.classes and taken.ignored_values == (9,) and taken.min_area_px == 3
    assert names.rule(ObjectRule(classes={"both": [1, 2]}, ignored=[7])) == ObjectRule(
        classes={"both": [1, 2]}, ignored=[7]
    )


def test_a_value_without_a_name_is_refused() -> None:
    names = label_names({"liver": 1, "ignore": 9}, path=PATH)
    names.expect_known([0, 1, 9], where=Path("a.nii.gz"))
    with pytest.raises(ValueError, match=r"dataset.json names \(0, 1, 9\) in a.nii.gz, but got 4"):
        names.expect_known([0, 1, 4], where=Path("a.nii.gz"))


def test_a_folder_may_have_names(tmp_path: Path) -> None:
    assert label_names_in(tmp_path) is None
    (tmp_path / "labels.json").write_text('{"liver": 1}')
    found = label_names_in(tmp_path)
    assert found is not None and found.classes == {"liver": (1,)}
    (tmp_path / "labels.json").write_text('["liver"]')
    with pytest.raises(ValueError, match="labels.json"):
        label_names_in(tmp_path)
