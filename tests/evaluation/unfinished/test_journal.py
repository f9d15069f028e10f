from __future__ import annotations

from pathlib import Path

import pytest

from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.unfinished.journal import Journal

PURPOSE = {"checkpoint": "a.ckpt", "clicks": [1, 3]}


def records(image: int) -> list[MaskRecord]:
    common = {"image": f"image {image}", "class_name": "cell", "area_px": 7, "predicted_iou": 0.1}
    clicked = {"prompt": "click", "num_clicks": 1, "iou": 1 / 3, "points": ((1.0, 2.5),), "labels": (1,)}
    boxed = {"prompt": "box", "num_clicks": 0, "iou": 0.1 + 0.2, "box": (0.0, 1.0, 2.0, 3.0)}
    return [MaskRecord(object_index=number, **common, **asked) for number in range(image) for asked in (clicked, boxed)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "journal.jsonl"
    journal = Journal(path, PURPOSE)
    assert not journal.finished and not path.exists()
    for image in (2, 0):  # one without objects too
        journal.add(image, records(image))
    return path


def test_what_was_finished_comes_back_exactly(path: Path) -> None:
    assert Journal(path, PURPOSE).finished == {2: records(2), 0: records(0)}


def test_an_image_more_is_added_to_those_before(path: Path) -> None:
    Journal(path, PURPOSE).add(5, records(5))
    assert list(Journal(path, PURPOSE).finished) == [2, 0, 5]


@pytest.mark.parametrize("cut", [1, 20])
def test_a_line_that_a_kill_has_cut_short_is_done_again(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path, PURPOSE)
    assert list(journal.finished) == [2]
    journal.add(0, records(0))
    assert Journal(path, PURPOSE).finished == {2: records(2), 0: records(0)}


def test_a_first_line_cut_short_begins_anew(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])
    journal = Journal(path, PURPOSE)
    assert not journal.finished
    journal.add(1, records(1))
    assert list(Journal(path, PURPOSE).finished) == [1]


def test_of_another_purpose_nothing_is_taken_over(path: Path) -> None:
    other = {**PURPOSE, "clicks": [1]}
    journal = Journal(path, other)
    assert not journal.finished and path.exists()
    journal.add(1, records(1))
    assert list(Journal(path, other).finished) == [1] and not Journal(path, PURPOSE).finished
