from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sam_ft.evaluation.records.file import write_records
from sam_ft.evaluation.records.mask_record import MaskRecord, prompt_key, prompt_words
from sam_ft.evaluation.records.summaries import miou_keys, summarise, write_summary


def record(*, image: str, index: int, name: str, iou: float, num_clicks: int = 1) -> MaskRecord:
    return MaskRecord(
        image=image,
        object_index=index,
        class_name=name,
        area_px=9,
        prompt="click" if num_clicks else "box",
        num_clicks=num_clicks,
        iou=iou,
        predicted_iou=0.5,
        points=((1, 2.5),) if num_clicks else (),
        labels=(1,) if num_clicks else (),
        box=None if num_clicks else (0, 0, 2, 2),
    )


RECORDS = [
    record(image="a", index=0, name="cord", iou=0.5, num_clicks=0),
    record(image="a", index=0, name="cord", iou=0.25),
    record(image="a", index=1, name="cord", iou=0.75),
    record(image="b", index=0, name="lesion", iou=1.0),
]


def test_the_mean_is_over_masks_and_not_over_images() -> None:
    expected = {"miou@1": pytest.approx(2 / 3), "miou@box": 0.5, "num_masks": 3, "num_images": 2}
    assert summarise(RECORDS) == expected
    assert list(summarise(RECORDS)) == list(expected)


def test_summary_and_records_come_back_from_their_files(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", {"before": summarise(RECORDS)})
    assert json.loads((tmp_path / "summary.json").read_text())["before"] == summarise(RECORDS)
    write_records(tmp_path / "records.csv", RECORDS)
    with (tmp_path / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["iou"]) for row in rows] == [item.iou for item in RECORDS]
    assert (rows[0]["box"], rows[0]["points"]) == ("0 0 2 2", "")
    assert (rows[1]["box"], rows[1]["points"]) == ("", "1 2.5 1")


def test_class_accuracy_is_the_share_of_masks_by_prompt(tmp_path: Path) -> None:
    told = ["cord", "lesion", "cord", "lesion"]
    records = [replace(each, predicted_class=name) for each, name in zip(RECORDS, told, strict=True)]
    summary = summarise(records)
    assert summary["class_accuracy@1"] == pytest.approx(2 / 3)
    assert summary["class_accuracy@box"] == 1.0
    assert "class_accuracy@1" not in summarise(RECORDS)
    write_records(tmp_path / "records.csv", records)
    with (tmp_path / "records.csv").open(newline="") as file:
        assert [row["predicted_class"] for row in csv.DictReader(file)] == told


def test_boundaries_have_figures_of_their_own() -> None:
    records = [replace(each, boundary_iou=each.iou / 2) for each in RECORDS]
    summary = summarise(records)
    assert summary["mbiou@1"] == pytest.approx(1 / 3) and summary["mbiou@box"] == 0.25
    assert {key: value for key, value in summary.items() if not key.startswith("mbiou")} == summarise(RECORDS)
    assert miou_keys(summary) == miou_keys(summarise(RECORDS))


def test_the_best_of_three_masks_has_figures_of_its_own() -> None:
    best = [replace(each, oracle_iou=1.0) for each in RECORDS[:2]]
    summary = summarise([*best, *RECORDS[2:]])
    assert summary["miou@box_oracle"] == summary["miou@1_oracle"] == 1.0
    assert miou_keys(summary) == ["miou@1", "miou@box"]


@pytest.mark.parametrize(
    "prompt, num_clicks, key, words",
    [
        ("click", 1, "1", "1 click"),
        ("click", 10, "10", "10 clicks"),
        ("box", 0, "box", "box"),
        ("box", 1, "box+1", "box + 1 click"),
        ("box", 3, "box+3", "box + 3 clicks"),
        ("mask", 0, "mask", "mask"),
    ],
)
def test_every_prompt_has_a_key_and_words(prompt: str, num_clicks: int, key: str, words: str) -> None:
    asked = replace(RECORDS[0], prompt=prompt, num_clicks=num_clicks)
    assert prompt_key(asked) == key and prompt_words(key) == words
    assert f"miou@{key}" in summarise([asked])


def test_figures_come_by_clicks_then_boxes_then_the_mask() -> None:
    asked = [("mask", 0), ("box", 2), ("click", 10), ("box", 0), ("click", 2)]
    records = [replace(RECORDS[0], prompt=prompt, num_clicks=count) for prompt, count in asked]
    assert miou_keys(summarise(records)) == ["miou@2", "miou@10", "miou@box", "miou@box+2", "miou@mask"]
