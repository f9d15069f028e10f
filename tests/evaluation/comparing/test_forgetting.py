from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sam_ft.checkpoints import load_model
from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.comparing.changes import Change
from sam_ft.evaluation.comparing.forgetting import (
    EVERYTHING_DEFAULT,
    EVERYTHING_FITTED,
    Answers,
    Comparison,
    answers,
    write_comparisons,
)
from sam_ft.evaluation.comparing.forgetting_page import forgetting_page, in_short
from sam_ft.evaluation.measuring import measure
from sam_ft.evaluation.showing.cases import cases_to_show
from sam_ft.pages.html import render
from sam_ft.pages.page import Gallery

SAMPLES = Synthetic(12, image_size=32)


@pytest.fixture
def compared(box_model: Callable[..., Any]) -> Comparison:
    """A model that draws boxes too wide, and one that draws them as given; nobody is asked for everything."""
    shown = cases_to_show(SAMPLES, 2)
    before, after = (
        Answers(measure(box_model(margin=margin), SAMPLES, clicks=(1, 3), shown=shown)) for margin in (4, 0)
    )
    return Comparison("domain", "Own data", before, after)


def test_each_prompt_is_compared_and_the_change_is_that_of_the_means(compared: Comparison) -> None:
    before, after = compared.before.measurement.summary, compared.after.measurement.summary
    assert [row.prompt for row in compared.changes] == ["1 click", "3 clicks", "box"]
    for row, key in zip(compared.changes, ("miou@1", "miou@3", "miou@box"), strict=True):
        assert (row.before, row.after) == pytest.approx((before[key], after[key]))
        assert row.difference == pytest.approx(after[key] - before[key])
    box = compared.changes[-1]
    assert box.verdict == "better" and box.low < box.difference < box.high
    assert {row.prompt for row in compared.by_size} == {"1 click", "3 clicks", "box"}


def test_everything_is_asked_for_in_some_images_and_compared_with_both_kinds_of_thresholds() -> None:
    model = load_model("vit_tiny_phantoms", image_size=64)
    done: list[int] = []
    asked = answers(model, SAMPLES, clicks=(1,), num_everything=10, points_per_side=4, on_images=done.append)
    assert sum(done) == 12 + 10
    assert [len(image.iou_predictions) for image in asked.everything] == [48] * 10
    same = Comparison("other", "Other data", asked, asked)
    default, fitted = same.changes[-2:]
    assert (default.prompt, fitted.prompt) == (EVERYTHING_DEFAULT, EVERYTHING_FITTED)
    assert asked.thresholds is not None
    assert default.before == pytest.approx(asked.thresholds.defaults.score)
    assert fitted.after == pytest.approx(asked.thresholds.best.score)
    assert {row.verdict for row in same.changes} == {"no clear difference"}
    assert (default.count, default.num_images) == (10, 10)


def test_the_files_hold_every_number(compared: Comparison, tmp_path: Path) -> None:
    write_comparisons(tmp_path, [compared], about={"before": "a", "after": "b"})
    assert {path.name for path in tmp_path.iterdir()} == {
        "forgetting.json",
        "records_domain_before.csv",
        "records_domain_after.csv",
    }
    written = json.loads((tmp_path / "forgetting.json").read_text())
    assert (written["before"], written["after"]) == ("a", "b")
    box = written["sets"]["domain"]["changes"][-1]
    assert (box["prompt"], box["verdict"]) == ("box", "better")
    assert len(written["sets"]["domain"]["by_size"]) == len(compared.by_size)
    ious = []
    for side in ("before", "after"):
        with (tmp_path / f"records_domain_{side}.csv").open() as file:
            ious.append([float(row["iou"]) for row in csv.DictReader(file) if row["prompt"] == "box"])
    assert box["count"] == len(ious[0])
    assert box["difference"] == pytest.approx((sum(ious[1]) - sum(ious[0])) / len(ious[0]))


def test_the_everything_mode_of_each_image_is_written(tmp_path: Path) -> None:
    model = load_model("vit_tiny_phantoms", image_size=64)
    asked = answers(model, SAMPLES, clicks=(1,), num_everything=2, points_per_side=2)
    comparison = Comparison("other", "Other data", asked, asked)
    write_comparisons(tmp_path, [comparison], about={})
    with (tmp_path / "everything_other.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [SAMPLES[3].name, SAMPLES[9].name]
    scores = comparison.everything_scores()[EVERYTHING_FITTED][1]
    assert [float(row[f"{EVERYTHING_FITTED}, after"]) for row in rows] == scores
    written = json.loads((tmp_path / "forgetting.json").read_text())["sets"]["other"]["thresholds"]
    assert written["before"] == written["after"]
    assert written["after"]["defaults"]["filtered"]["proposals"] == 24


def row(
    difference: float, low: float | None, high: float | None, *, prompt: str = "box", num_images: int = 20
) -> Change:
    return Change(prompt, "all", 20, num_images, 0.5, 0.5 + difference, difference, low, high)


def test_the_sentence_says_what_got_better_and_what_worse(
    compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (row(0.1, 0.05, 0.15, prompt="1 click"), row(0.1, -0.05, 0.15), row(-0.1, -0.2, -0.05, prompt="3 clicks"))
    monkeypatch.setitem(compared.__dict__, "changes", rows)
    assert in_short(compared) == "Own data. Better: 1 click. Worse: 3 clicks. No clear difference: box."
    unknown = row(0.1, None, None, prompt="everything", num_images=4)
    monkeypatch.setitem(compared.__dict__, "changes", (*rows, unknown))
    assert in_short(compared).endswith("No clear difference: box. Too few images: everything.")
    monkeypatch.setitem(compared.__dict__, "changes", (unknown,))
    assert in_short(compared) == "Own data: too few images to tell."


def test_the_page_shows_both_models_side_by_side(compared: Comparison) -> None:
    page = forgetting_page(
        [compared],
        title="What <it> lost",
        subtitle="From a to b",
        shown={"domain": cases_to_show(SAMPLES, 2)},
        command="sam-ft forgetting after='a b.ckpt'",
        settings="root: photos",
    )
    (gallery,) = (block for section in page.sections for block in section.blocks if isinstance(block, Gallery))
    assert [picture.caption for picture in gallery.rows[0].pictures] == ["image", "truth", "before", "after"]
    text = render(page)
    assert "What &lt;it&gt; lost" in text and "sam-ft forgetting after=&#x27;a b.ckpt&#x27;" in text
    assert "root: photos" in text
    assert f"{compared.changes[-1].after:.3f}" in text and "better" in text
    assert text.count("prefers-color-scheme: dark") > 3  # every chart comes for a dark page too


def test_a_page_without_pictures_is_still_a_page(compared: Comparison) -> None:
    page = forgetting_page([compared], title="t", subtitle="s", shown={}, command="c")
    assert not any(isinstance(block, Gallery) for section in page.sections for block in section.blocks)
    assert "<html" in render(page)
