from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.measuring import measure, measure_interactively
from sam_ft.evaluation.showing.cases import ShownCase, cases_to_show, spread_over
from sam_ft.evaluation.showing.picture_rows import picture_row
from sam_ft.types import Sample

Model = Callable[..., Any]


def sample(name: str, *sizes: int, names: tuple[str, ...] = ()) -> Sample:
    """Squares of the given sides in the corners of a grey image of 32 by 32 pixels."""
    corners = [(2, 2), (2, 18), (18, 2), (18, 18)]
    masks = torch.zeros(len(sizes), 32, 32, dtype=torch.bool)
    for mask, side, (top, left) in zip(masks, sizes, corners, strict=False):
        mask[top : top + side, left : left + side] = True
    image = torch.full((32, 32, 3), 90, dtype=torch.uint8)
    return Sample(image=image, masks=masks, class_names=names or ("object",) * len(sizes), name=name)


class Samples(list[Sample]):
    """A list is a data set."""


THREE = Samples([sample("a", 10, 6, names=("big", "small")), sample("b", 8), sample("c", 12, 9, 4)])


def test_a_model_that_draws_the_box_is_right_with_boxes_and_not_with_clicks(box_model: Model) -> None:
    measured = measure(box_model(), THREE, clicks=(1,))
    assert measured.summary["miou@box"] == pytest.approx(1.0)
    assert measured.summary["miou@1"] < 0.7
    assert (measured.summary["num_images"], measured.summary["num_masks"]) == (3, 6)


def test_classes_are_measured_apart(box_model: Model) -> None:
    by_class = measure(box_model(), THREE, clicks=(1,)).classes.summaries
    assert {name: summary["num_masks"] for name, summary in by_class.items()} == {"big": 1, "object": 4, "small": 1}
    assert by_class["small"]["miou@1"] == pytest.approx(25 / 36)  # 5 by 5 pixels of 6 by 6


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_the_batch_size_changes_nothing_but_the_progress(box_model: Model, batch_size: int) -> None:
    done: list[int] = []
    measured = measure(box_model(), THREE, batch_size=batch_size, on_batch=done.append)
    assert measured.records == measure(box_model(), THREE).records
    assert sum(done) == 3
    assert len(done) == -(-3 // batch_size)


def test_only_the_shown_objects_keep_their_masks(box_model: Model) -> None:
    shown = [ShownCase(sample=THREE[2], object_index=1)]
    measured = measure(box_model(), THREE, clicks=(1, 2), shown=shown)
    assert sorted(measured.answers) == [("c", 1, "box", 0), ("c", 1, "click", 1), ("c", 1, "click", 2)]
    record, mask = measured.answers["c", 1, "box", 0]
    assert record.iou == pytest.approx(1.0)
    assert torch.equal(mask, THREE[2].masks[1])


def test_a_measurement_is_written_as_summary_and_records(box_model: Model, tmp_path: Path) -> None:
    measured = measure(box_model(), THREE)
    measured.write(tmp_path / "new" / "folder")
    content = json.loads((tmp_path / "new" / "folder" / "summary.json").read_text())
    assert content == {
        **measured.summary,
        "intervals": {},  # of three images there are none
        "predicted_iou": {"error": measured.calibration.error, "bias": measured.calibration.bias},
        "classes": {name: {**own, "intervals": {}} for name, own in measured.classes.summaries.items()},
        "mean_over_classes": {**measured.classes.mean, "intervals": {}},
    }
    assert {"miou@1", "miou@3", "miou@5", "miou@box"} <= content.keys()
    with (tmp_path / "new" / "folder" / "records.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(measured.records) == 6 * 4


def test_every_figure_of_many_images_has_an_interval(box_model: Model, tmp_path: Path) -> None:
    many = Samples(sample(str(number), 4 + number % 7, 9) for number in range(12))
    measured = measure_interactively(box_model(), many, Questions(clicks=(1, 3)))
    measured.write(tmp_path)
    content = json.loads((tmp_path / "summary.json").read_text())
    figures = {"miou@1", "miou@3", "miou@box", "miou@1_oracle", "miou@box_oracle", "noc@85", "noc@90"}
    assert content["intervals"].keys() == {*figures, "nof@85", "nof@90"}
    assert content["mean_over_classes"]["intervals"].keys() == figures
    assert content["classes"]["object"]["intervals"] == content["intervals"]
    assert content["classes"]["object"]["noc@90"] == content["noc@90"]
    for key, (low, high) in content["intervals"].items():
        assert low <= content[key] <= high
    low, high = content["intervals"]["miou@1"]
    assert low < content["miou@1"] < high


def test_the_place_of_every_image_is_known(box_model: Model) -> None:
    empty = sample("empty")
    measured = measure(box_model(), Samples([THREE[0], empty, *THREE[1:]]), batch_size=3)
    assert measured.places == {"a": 0, "empty": 1, "b": 2, "c": 3}


def test_shown_cases_are_spread_and_the_largest_of_changing_classes() -> None:
    samples = Samples(sample(str(index), 4, 9, 7, names=("x", "y", "y")) for index in range(8))
    cases = cases_to_show(samples, 4)
    assert [(case.sample.name, case.object_index) for case in cases] == [("1", 0), ("3", 1), ("5", 0), ("7", 1)]


def test_no_more_cases_are_shown_than_there_are_samples_with_objects() -> None:
    assert len(cases_to_show(THREE, 10)) == 3
    assert cases_to_show(THREE, 0) == []
    empty = Sample(
        image=torch.zeros(8, 8, 3, dtype=torch.uint8),
        masks=torch.zeros(0, 8, 8, dtype=torch.bool),
        class_names=(),
        name="empty",
    )
    assert cases_to_show(Samples([empty]), 3) == []


def test_a_row_of_pictures_shows_image_truth_and_every_model(box_model: Model) -> None:
    shown = [ShownCase(sample=THREE[0], object_index=0)]
    measured = {
        name: measure(box_model(margin=margin), THREE, shown=shown) for name, margin in (("before", 3), ("after", 0))
    }
    row = picture_row(shown[0], measured, prompt="box", num_clicks=0)
    assert row.title == "a, big, with a box"
    assert [picture.caption for picture in row.pictures] == ["image", "truth", "before", "after"]
    assert [picture.value for picture in row.pictures] == ["", "", f"IoU {100 / 15 / 15:.3f}", "IoU 1.000"]
    assert len({Image.open(io.BytesIO(picture.png)).size for picture in row.pictures}) == 1
    assert len({picture.png for picture in row.pictures}) == 4


@pytest.mark.parametrize("num_clicks, words", [(1, "after 1 click"), (3, "after 3 clicks")])
def test_a_row_says_how_many_clicks_there_were(box_model: Model, num_clicks: int, words: str) -> None:
    shown = [ShownCase(sample=THREE[1], object_index=0)]
    measured = {"model": measure(box_model(), THREE, clicks=(1, 3), shown=shown)}
    assert picture_row(shown[0], measured, prompt="click", num_clicks=num_clicks).title == f"b, object, {words}"


def test_synthetic_samples_are_measured_too(box_model: Model) -> None:
    samples = Synthetic(2, image_size=32)
    assert measure(box_model(), samples).summary["num_masks"] == sum(len(one.masks) for one in samples)


def test_some_of_the_samples_are_spread_over_the_data_set() -> None:
    samples = Samples([sample(name, 4) for name in "abcdefghi"])
    few = spread_over(samples, 3)
    assert [few[index].name for index in range(len(few))] == ["b", "e", "h"]
    assert len(spread_over(samples, 20)) == 9
