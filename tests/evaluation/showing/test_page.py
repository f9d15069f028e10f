from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.measuring import Measurement, measure, measure_interactively
from sam_ft.evaluation.showing.cases import cases_to_show
from sam_ft.evaluation.showing.miou_tables import class_accuracy_table
from sam_ft.evaluation.showing.page import curves, evaluation_page, headline
from sam_ft.pages.html import render
from sam_ft.pages.page import Gallery, Page, PictureRow
from sam_ft.pages.versions import versions

SAMPLES = Synthetic(2, image_size=32)


@pytest.fixture
def measurement(box_model: Callable[..., Any]) -> Measurement:
    return measure(box_model(), SAMPLES, clicks=(1, 3), shown=cases_to_show(SAMPLES, 2))


def page_of(measurement: Measurement, *, shown: int) -> Page:
    return evaluation_page(
        measurement,
        title="best.ckpt on <test>",
        subtitle="2 images",
        shown=cases_to_show(SAMPLES, shown),
        command="sam-ft evaluate checkpoint='a b.ckpt'",
    )


def test_the_page_holds_the_numbers_the_command_and_the_pictures(measurement: Measurement) -> None:
    page = page_of(measurement, shown=2)
    (gallery,) = (block for section in page.sections for block in section.blocks if isinstance(block, Gallery))
    assert [row.title.rpartition(", ")[2] for row in gallery.rows[:3]] == [
        "after 1 click",
        "after 3 clicks",
        "with a box",
    ]
    assert len(gallery.rows) == 6
    text = render(page)
    assert "best.ckpt on &lt;test&gt;" in text
    assert "sam-ft evaluate checkpoint=&#x27;a b.ckpt&#x27;" in text
    for key in ("miou@1", "miou@3", "miou@box"):
        assert f"{measurement.summary[key]:.3f}" in text
    assert all(name in text for name in measurement.classes.records)
    assert "http" not in text.replace("http://www.w3.org", "")  # nothing is loaded from elsewhere


def test_the_page_shows_sizes_intervals_and_what_is_best_and_worst(box_model: Callable[..., Any]) -> None:
    measurement = measure_interactively(box_model(), Synthetic(12, image_size=32), Questions(clicks=(1, 3)))
    worst = PictureRow("Worst: a", [])
    page = evaluation_page(
        measurement, title="t", subtitle="s", shown=[], command="c", extremes=[worst], lead="asked so"
    )
    text = render(page)
    low, high = (getattr(measurement.intervals["miou@1"], end) for end in ("low", "high"))
    assert f"{measurement.summary['miou@1']:.3f} [{low:.3f}, {high:.3f}]" in text
    assert all(words in text for words in ("Worst: a", "asked so", " px</th>", "best of three masks", "IoU 0.85"))


def test_a_page_without_clicks_or_box_has_no_curves(box_model: Callable[..., Any]) -> None:
    measurement = measure_interactively(box_model(), SAMPLES, Questions(clicks=(), box=False, box_clicks=(1,)))
    text = render(evaluation_page(measurement, title="t", subtitle="s", shown=[], command="c"))
    assert "against the number of clicks" not in text and "box + 1 click" in text


def test_a_page_without_pictures_is_still_a_page(measurement: Measurement) -> None:
    assert "<html" in render(page_of(measurement, shown=0))


def test_one_case_with_one_click_is_not_shown_twice(box_model: Callable[..., Any]) -> None:
    shown = cases_to_show(SAMPLES, 1)
    measurement = measure(box_model(), SAMPLES, clicks=(1,), shown=shown)
    page = evaluation_page(measurement, title="t", subtitle="s", shown=shown, command="c")
    (gallery,) = (block for section in page.sections for block in section.blocks if isinstance(block, Gallery))
    assert [row.title.rpartition(", ")[2] for row in gallery.rows] == ["after 1 click", "with a box"]


def test_the_headline_is_one_card_for_each_miou() -> None:
    cards = headline({"miou@1": 0.12345, "miou@box": 0.5, "num_masks": 7})
    assert [(card.label, card.value) for card in cards] == [("miou@1", "0.123"), ("miou@box", "0.500")]


def test_a_page_of_a_model_with_classes_says_how_often_it_tells_them() -> None:
    table = class_accuracy_table({"miou@1": 0.5, "class_accuracy@1": 0.25, "class_accuracy@box": 1.0, "num_masks": 7})
    assert table.rows == [["1 click", "0.250"], ["box", "1.000"]]


def test_curves_come_for_light_and_dark_pages() -> None:
    picture = curves({"mIoU": {"miou@1": 0.5, "miou@3": 0.6, "miou@box": 0.7}})
    assert picture.png.startswith(b"\x89PNG") and picture.png_dark is not None
    assert picture.png != picture.png_dark


def test_the_versions_name_the_library_and_what_it_ran_on() -> None:
    assert [name for name, _ in versions()] == ["sam-ft", "torch", "Python", "machine"]
    assert all(value for _, value in versions())
