from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sam_ft.evaluation.comparing.page import comparing_page
from sam_ft.evaluation.comparing.pairs import compare, pair
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.pages.html import render

NAMES = ("old", "new")


def record(number: int, *, prompt: str = "click", num_clicks: int = 1, gain: float = 0.0) -> MaskRecord:
    """Masks of two classes and two sizes."""
    return MaskRecord(
        image=f"image {number:02}",
        object_index=0,
        class_name="cord" if number % 2 else "lesion",
        area_px=100 if number < 12 else 5000,
        prompt=prompt,  # type: ignore[arg-type]
        num_clicks=num_clicks,
        iou=0.3 + 0.01 * number + gain,
        predicted_iou=0.5,
        points=((number, 1),) * num_clicks,
        labels=(1,) * num_clicks,
    )


def evaluation(
    *, gain: float = 0.0, prompts: tuple[tuple[str, int], ...] = (("click", 1), ("box", 0))
) -> list[MaskRecord]:
    return [
        record(number, prompt=prompt, num_clicks=count, gain=gain if number % 2 else -gain)
        for number in range(24)
        for prompt, count in prompts
    ]


OLD, NEW = evaluation(), evaluation(gain=0.1)


def test_masks_are_paired_whatever_their_order_is() -> None:
    paired = pair(OLD, NEW[::-1], names=NAMES)
    assert list(paired.first) == OLD and list(paired.second) == NEW
    assert paired.left_out == []


def test_differences_come_by_prompt_size_and_class() -> None:
    found = compare(pair(OLD, NEW, names=NAMES))
    assert [(row.prompt, row.verdict) for row in found.by_prompt] == [
        ("1 click", "no clear difference"),
        ("box", "no clear difference"),
    ]
    assert [(row.objects, row.prompt, row.verdict) for row in found.by_class] == [
        ("cord", "1 click", "better"),
        ("cord", "box", "better"),
        ("lesion", "1 click", "worse"),
        ("lesion", "box", "worse"),
    ]
    assert [row.difference for row in found.by_class] == pytest.approx([0.1, 0.1, -0.1, -0.1])
    assert [row.objects.split()[0] for row in found.by_size] == ["small", "small", "medium", "medium"]
    assert [row.count for row in found.by_size] == [12] * 4


def test_rounds_without_figures_are_not_compared() -> None:
    between = [replace(each, in_summary=False) for each in evaluation(prompts=(("click", 2),))]
    paired = pair([*OLD, *between], [*NEW, *between], names=NAMES)
    assert paired == pair(OLD, NEW, names=NAMES)


def test_prompts_of_one_model_alone_are_left_out_and_named() -> None:
    more = evaluation(prompts=(("click", 1), ("click", 3), ("box", 2)))
    paired = pair(OLD, more, names=NAMES)
    assert {(each.prompt, each.num_clicks) for each in paired.first} == {("click", 1)}
    assert paired.left_out == ["3 clicks", "box", "box + 2 clicks"]


@pytest.mark.parametrize(
    "second, expected",
    [
        (NEW[2:], "old alone has 1 of them, such as object 0 of image 00"),
        ([*NEW, record(99)], "new alone has 1 of them, such as object 0 of image 99"),
        ([*NEW[:-2], *(replace(each, area_px=7) for each in NEW[-2:])], "5000 pixels of cord in old and 7 pixels"),
        ([*NEW[:-2], *(replace(each, class_name="x") for each in NEW[-2:])], "5000 pixels of x in new"),
        (evaluation(prompts=(("click", 2),)), "1 click, box and 2 clicks"),
        (NEW[:-1], "new has none with box for object 0 of image 23"),
    ],
)
def test_masks_that_are_not_the_same_ones_are_refused(second: list[MaskRecord], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        pair(OLD, second, names=NAMES)


def test_it_is_said_whether_the_clicks_were_the_same() -> None:
    assert "exactly the same clicks" in pair(OLD, NEW, names=NAMES).about_clicks
    old = evaluation(prompts=(("click", 2), ("box", 0)))
    new = [
        replace(each, points=(each.points[0], (0, 0))) if each.num_clicks and each.image > "image 20" else each
        for each in old
    ]
    paired = pair(old, new, names=NAMES)
    assert paired.num_other_clicks == 3
    assert "differ in 3 of 24 answers" in paired.about_clicks and "clicks_from" in paired.about_clicks
    boxes = evaluation(prompts=(("box", 0),))
    assert pair(boxes, boxes, names=NAMES).about_clicks == "No clicks were asked with."


def test_first_clicks_of_another_rule_are_refused_but_not_clicks_after_a_box() -> None:
    moved = [replace(each, points=((0, 0),)) if each.num_clicks and each.image > "image 20" else each for each in NEW]
    expected = r"differ for 3 masks: object 0 of image 21 was clicked at \(21, 1\) in old and at \(0, 0\) in new"
    with pytest.raises(ValueError, match=expected):
        pair(OLD, moved, names=NAMES)
    boxes = evaluation(prompts=(("box", 1),))
    corrected = [replace(each, points=((0, 0),)) for each in boxes]
    assert pair(boxes, corrected, names=NAMES).num_other_clicks == 24


def test_a_comparison_is_written_as_json_and_tables(tmp_path: Path) -> None:
    compare(pair(OLD, NEW, names=NAMES)).write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"compare.json", "compare.md", "compare.tex"}
    content = json.loads((tmp_path / "compare.json").read_text())
    assert (content["first"], content["second"], content["num_other_clicks"]) == ("old", "new", 0)
    assert content["by_class"][0]["verdict"] == "better"
    assert content["by_class"][0]["low"] <= content["by_class"][0]["difference"] == pytest.approx(0.1)
    text = (tmp_path / "compare.md").read_text()
    assert "| prompt | count | old | new | difference | 95 % interval | verdict |" in text
    assert "| cord, 1 click | 12 |" in text and "24 masks of 24 images." in text


def test_the_page_shows_both_models(tmp_path: Path) -> None:
    text = render(comparing_page(compare(pair(OLD, NEW, names=NAMES)), command="sam-ft compare old new"))
    assert "new against old" in text and "sam-ft compare old new" in text
    assert text.count("<img") == 2 and "lesion, box" in text


def test_one_class_and_one_size_give_one_table() -> None:
    alike = [replace(each, class_name="cord", area_px=9) for each in OLD]
    comparison = compare(pair(alike, alike, names=NAMES))
    assert len(comparison.tables()) == 1
    assert "<h2>By prompt</h2>" in render(comparing_page(comparison, command="c"))
