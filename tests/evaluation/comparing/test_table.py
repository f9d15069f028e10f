from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sam_ft.evaluation.comparing.figure_names import heading
from sam_ft.evaluation.comparing.measured import Measured, add_measured, names_digest
from sam_ft.evaluation.comparing.rows import read_row
from sam_ft.evaluation.comparing.table import join
from sam_ft.pages.tables import markdown

IMAGES = [f"image {number}" for number in range(12)]


def evaluation(folder: Path, figures: dict[str, Any], *, images: list[str] = IMAGES, **measured: Any) -> Path:
    """A folder as `sam-ft evaluate` writes it."""
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({**figures, "num_images": len(images)}))
    given: dict[str, Any] = {"checkpoint": "a.ckpt", "protocol": "volumes", "settings": {}, "part": "test"}
    given |= {"num_images": len(images), "images": names_digest(images), "num_samples": len(images), **measured}
    add_measured(folder / "summary.json", Measured(**given))
    return folder


def rows(**folders: Path | list[Path]) -> list[Any]:
    return [read_row(name, each if isinstance(each, list) else [each]) for name, each in folders.items()]


def test_a_row_for_each_model_and_a_column_for_each_figure_with_its_interval(tmp_path: Path) -> None:
    before = evaluation(tmp_path / "a", {"dice": 0.5, "hd95_mm": 12.345, "intervals": {"dice": [0.4, 0.61]}})
    after = evaluation(tmp_path / "b", {"dice": 0.75, "hd95_mm": 3, "intervals": None})
    table = join(rows(before=before, after=after)).table
    assert table.columns == ["model", "DSC", "HD95, mm"]
    assert table.rows == [["before", "0.500 [0.400, 0.610]", "12.35"], ["after", "0.750", "3.00"]]
    assert table.caption == "12 volumes of part=test. In brackets the 95 % interval, from drawing whole volumes."


def test_protocols_share_the_figures_that_both_have_and_say_how_they_measured(tmp_path: Path) -> None:
    sam = evaluation(tmp_path / "sam", {"ar@10": 0.3, "msa": 0.4}, protocol="automatic", num_objects=7)
    unet = evaluation(tmp_path / "unet", {"best_iou": 0.6, "msa": 0.5}, protocol="instances", num_objects=7)
    joined = join(rows(sam=sam, unet=unet))
    assert joined.table.columns == ["model", "measured with", "mSA"]
    assert joined.table.rows == [["sam", "automatic", "0.400"], ["unet", "instances", "0.500"]]
    assert "Left out, since one model alone has them: AR@10, IoU of the best object." in joined.table.caption
    chosen = join(rows(sam=sam, unet=unet), figures=["best_iou", "msa"]).table
    assert [row[2:] for row in chosen.rows] == [["", "0.400"], ["0.600", "0.500"]] and "Left out" not in chosen.caption


def test_images_without_an_object_are_counted_and_it_is_said_who_was_not_asked_for_them(tmp_path: Path) -> None:
    asked = evaluation(
        tmp_path / "a", {"miou@1": 0.5}, protocol="interactive", num_samples=15, left_out={"images": 3, "volumes": 0}
    )
    found = evaluation(tmp_path / "b", {"miou@1": 0.4}, protocol="automatic", num_samples=15)
    table = join(rows(asked=asked, found=found)).table
    assert [row[1] for row in table.rows] == ["interactive, without 3 images that hold no object", "automatic"]
    assert table.caption == "12 images of part=test, beside 3 without an object."


def test_settings_that_differ_and_what_was_left_out_stand_beside_the_figures(tmp_path: Path) -> None:
    shared = {"tolerance_mm": 1.0}
    sam = evaluation(
        tmp_path / "sam", {"dice": 0.9, **shared}, settings={"prompt": "box", **shared}, left_out={"slices": 1200}
    )
    unet = evaluation(tmp_path / "unet", {"dice": 0.8, **shared}, settings={"prompt": "none", **shared})
    table = join(rows(sam=sam, unet=unet)).table
    assert table.columns == ["model", "measured with", "DSC"]  # a setting is no figure
    ways = [row[1] for row in table.rows]
    assert ways == ["volumes, prompt=box, without 1,200 slices that hold no object", "volumes, prompt=none"]


def test_folds_are_averaged_counts_added_and_their_number_is_said(tmp_path: Path) -> None:
    def folds(name: str, values: list[float]) -> list[Path]:
        return [
            evaluation(
                tmp_path / name / str(number),
                {"dice": value, "nof@90": 1, "intervals": {"dice": [0, 1]}},
                images=[f"case {number}"],
                left_out={"slices": number},
            )
            for number, value in enumerate(values)
        ]

    joined = join(rows(sam=folds("sam", [0.5, 0.6, 1.0]), unet=folds("unet", [0.1, 0.2, 0.3])[::-1]))
    assert joined.table.rows == [["sam", "0.700", "3"], ["unet", "0.200", "3"]]
    assert joined.table.caption == "3 volumes of part=test. Means over 3 folds, each counting the same."


def test_a_figure_that_a_fold_lacks_is_no_figure_of_the_model(tmp_path: Path) -> None:
    folds = [
        evaluation(tmp_path / "0", {"dice": 0.5, "nsd": 0.5}, images=["a"]),
        evaluation(tmp_path / "1", {"dice": 0.7, "nsd": None}, images=["b"]),
    ]
    assert read_row("sam", folds).figures == {"dice": pytest.approx(0.6)}


@pytest.mark.parametrize(
    "other, expected",
    [
        ({"part": "val"}, r"same images.*b \(12 volumes of part=val\)"),
        ({"images": IMAGES[:-1]}, r"same images.*b \(11 volumes of part=test\)"),
        ({"images": [*IMAGES[:-1], "another"]}, "same images.*are of others"),
        ({"num_samples": 15}, "same images.*are of others"),
        ({"protocol": "automatic", "num_samples": 15}, r"same images.*b \(12 of 15 images of part=test\)"),
        ({"num_objects": 8}, "same objects, but .*a has 7 and .*b 8"),
        ({"figures": {"miou": 0.5}}, "figure that before shares with another, but it has dice and the others miou"),
        ({"figures": {"dice": 0.5, "classes": {"organ": {}}}}, "same classes, but .*a has none and .*b organ"),
    ],
)
def test_evaluations_of_something_else_are_refused(tmp_path: Path, other: dict[str, Any], expected: str) -> None:
    first = evaluation(tmp_path / "a", {"dice": 0.5}, num_objects=7)
    second = evaluation(tmp_path / "b", **{"figures": {"dice": 0.5}, "num_objects": 7, **other})
    with pytest.raises(ValueError, match=expected):
        join(rows(before=first, after=second))


def test_folds_of_the_same_images_of_other_settings_or_of_another_number_are_refused(tmp_path: Path) -> None:
    one, two = (evaluation(tmp_path / name, {"dice": 0.5}, images=[name]) for name in "ab")
    other = evaluation(tmp_path / "c", {"dice": 0.5}, images=["c"], settings={"tolerance_mm": 2})
    with pytest.raises(ValueError, match=r"folds of other images for sam, but .*a and .*a are of the same"):
        rows(sam=[one, one])
    with pytest.raises(ValueError, match="measured in one way for sam"):
        rows(sam=[one, other])
    with pytest.raises(ValueError, match="got 2 for sam and 1 for unet"):
        join(rows(sam=[one, two], unet=one))


def test_a_folder_without_a_summary_that_says_what_was_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.summary\.json"):
        rows(sam=tmp_path / "nowhere")
    (tmp_path / "summary.json").write_text('{"dice": 0.5}')
    with pytest.raises(ValueError, match="measure again"):
        rows(sam=tmp_path)
    with pytest.raises(ValueError, match="names none"):
        rows(sam=evaluation(tmp_path / "empty", {"dice": 0.5}, images=[]))
    with pytest.raises(ValueError, match=r"figures out of dice, but got dise"):
        join(rows(sam=evaluation(tmp_path / "a", {"dice": 0.5})), figures=["dise"])


def test_the_table_is_written_for_readers_papers_and_programs(tmp_path: Path) -> None:
    joined = join(rows(sam_vit_b=evaluation(tmp_path / "a", {"miou@1": 0.123456})))
    joined.write(tmp_path / "out")
    assert (tmp_path / "out" / "table.md").read_text() == markdown(joined.table)
    assert r"sam\_vit\_b & 0.123 \\" in (tmp_path / "out" / "table.tex").read_text()
    (row,) = json.loads((tmp_path / "out" / "table.json").read_text())["rows"]
    assert row["name"] == "sam_vit_b" and row["figures"] == {"miou@1": 0.123456}


def test_figures_are_called_as_in_papers() -> None:
    keys = ["miou@3", "miou@box+1_oracle", "mbiou@box", "noc@85", "nof@90", "ar@1000_small", "pq", "something"]
    assert [heading(key) for key in keys] == [
        "mIoU, 3 clicks",
        "mIoU, box + 1 click, best of three",
        "boundary IoU, box",
        "clicks to IoU 0.85",
        "never at IoU 0.90",
        "AR@1000, small",
        "PQ",
        "something",
    ]


def test_names_are_told_apart_whatever_their_order() -> None:
    assert names_digest(["a", "b"]) == names_digest(["b", "a"]) != names_digest(["a", "b", "c"])
    assert names_digest(["ab"]) != names_digest(["a", "b"])
