from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sam_ft.evaluation.asking.journaled import image_of
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.unfinished.journal import Journals

PURPOSE = {"weights": "a", "data": {"root": "cells", "seed": 0}, "protocol": {"clicks": [1, 3]}}


def records(image: int) -> list[MaskRecord]:
    common = {"image": f"image {image}", "class_name": "cell", "area_px": 7, "predicted_iou": 0.1}
    clicked = {"prompt": "click", "num_clicks": 1, "iou": 1 / 3, "points": ((1.0, 2.5),), "labels": (1,)}
    boxed = {"prompt": "box", "num_clicks": 0, "iou": 0.1 + 0.2, "box": (0.0, 1.0, 2.0, 3.0)}
    return [MaskRecord(object_index=number, **common, **asked) for number in range(image) for asked in (clicked, boxed)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "unfinished"


def journals_in(folder: Path, purpose: dict[str, Any] = PURPOSE) -> Journals[list[MaskRecord]]:
    return Journals(folder, purpose, list[MaskRecord], count=6, name_of=image_of)


def add(journals: Journals[list[MaskRecord]], *images: int, number: int = 1) -> None:
    with journals.writer(number) as writer:
        for image in images:
            writer.add(image, records(image))


@pytest.fixture
def journals(folder: Path) -> Journals[list[MaskRecord]]:
    """Two images, one of them without objects."""
    journals = journals_in(folder)
    assert not journals.finished() and not folder.exists()
    add(journals, 2, 0)
    return journals


def test_what_was_finished_comes_back_exactly_and_in_the_order_of_the_images(
    journals: Journals[list[MaskRecord]],
) -> None:
    assert list(journals.finished().items()) == [(0, []), (2, records(2))]


def test_an_image_more_is_added_to_those_before_and_other_processes_have_their_own_files(
    journals: Journals[list[MaskRecord]],
) -> None:
    add(journals, 5)
    add(journals, 3, number=2)
    assert list(journals.finished()) == [0, 2, 3, 5] and journals.num_finished() == 4


@pytest.mark.parametrize("cut", [1, 20])
def test_a_line_that_a_kill_has_cut_short_is_done_again(journals: Journals[list[MaskRecord]], cut: int) -> None:
    path = journals.folder / "1.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(journals.finished()) == [2]
    add(journals, 0)
    assert journals.finished() == {2: records(2), 0: records(0)}


def test_a_first_line_cut_short_begins_anew(journals: Journals[list[MaskRecord]]) -> None:
    path = journals.folder / "1.jsonl"
    path.write_bytes(path.read_bytes()[:10])
    assert not journals.finished()
    add(journals, 1)
    assert list(journals.finished()) == [1]


def test_of_another_purpose_nothing_is_taken_over(journals: Journals[list[MaskRecord]]) -> None:
    other = journals_in(journals.folder, {**PURPOSE, "weights": "b"})
    with other.writer(1):
        pass
    assert not other.finished() and other.num_finished() == 0 and list(journals.finished()) == [0, 2]
    add(other, 1)
    assert list(other.finished()) == [1] and not journals.finished()


def test_what_is_dropped_is_said_in_one_line_with_the_settings_that_differ(
    journals: Journals[list[MaskRecord]], caplog: pytest.LogCaptureFixture
) -> None:
    add(journals, 3, number=2)
    changed = {"weights": "a", "data": {"root": "nuclei", "seed": 0}, "protocol": {"clicks": [1]}, "version": "2"}
    with caplog.at_level(logging.WARNING):
        journals.warn_of_others()
        assert not caplog.messages
        journals_in(journals.folder, changed).warn_of_others()
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith("3 finished images")
    assert "another data.root, protocol.clicks, version." in caplog.messages[0]


def test_a_second_writer_is_refused_and_destroys_nothing(journals: Journals[list[MaskRecord]]) -> None:
    with journals.writer(1) as writer:
        with pytest.raises(ValueError, match=r"no other process to write .*1\.jsonl"):
            journals.writer(1)
        writer.add(4, records(4))
        with journals.writer(2) as other:
            other.add(5, records(5))
    assert list(journals.finished()) == [0, 2, 4, 5]


def test_a_second_writer_is_refused_before_the_first_one_has_finished_anything(folder: Path) -> None:
    journals = journals_in(folder)
    with journals.writer(1) as one:
        with pytest.raises(ValueError, match="no other process"):
            journals.writer(1)
        one.add(1, records(1))
    assert list(journals.finished()) == [1]


def test_a_writer_that_finishes_nothing_leaves_nothing(folder: Path) -> None:
    with journals_in(folder).writer(1):
        assert folder.exists()
    assert not folder.exists() and folder.parent.exists()


def test_journals_that_one_still_writes_are_not_removed(journals: Journals[list[MaskRecord]]) -> None:
    with journals.writer(2) as writer:
        writer.add(1, records(1))
        with pytest.raises(ValueError, match=r"no other process to write .*2\.jsonl"):
            journals.remove()
        writer.add(3, records(3))
    assert list(journals.finished()) == [0, 1, 2, 3]
    journals.remove()
    assert not journals.folder.exists()


def test_a_system_without_such_locks_is_named_when_one_is_asked_for(
    journals: Journals[list[MaskRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ValueError, match=r"can lock .*1\.jsonl .* on Windows"):
        journals.writer(1)
    code = "import sys; sys.modules['fcntl'] = None; import sam_ft.evaluation.unfinished.shares"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_writer_in_another_process_keeps_others_out_until_it_ends(journals: Journals[list[MaskRecord]]) -> None:
    path = journals.folder / "1.jsonl"
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True)"
    )
    command = [sys.executable, "-c", f"{code}; input()", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="no other process"):
            journals.writer(1)
        process.kill()
    add(journals, 1)
    assert list(journals.finished()) == [0, 1, 2]


@pytest.mark.parametrize(
    "damaged",
    [b"\0\0\0\0\n", b'{"index": 1}\n', b'{"index": 1, "entry": 3}\n', b'{"index": 1, "entry": [{}]}\n', b"\n"],
)
def test_a_damaged_line_is_named(journals: Journals[list[MaskRecord]], damaged: bytes) -> None:
    path = journals.folder / "1.jsonl"
    path.write_bytes(path.read_bytes() + damaged)
    with pytest.raises(ValueError, match=r"line 4 of .*1\.jsonl, but it is damaged"):
        journals.finished()


@pytest.mark.parametrize("damaged", [b"\0\0\n", b"3\n"])
def test_a_damaged_first_line_is_named(journals: Journals[list[MaskRecord]], damaged: bytes) -> None:
    path = journals.folder / "1.jsonl"
    path.write_bytes(damaged + path.read_bytes())
    for look in (journals.finished, journals.num_finished, journals.warn_of_others, lambda: journals.writer(1)):
        with pytest.raises(ValueError, match=r"line 1 of .*1\.jsonl"):
            look()


def test_what_is_missing_at_the_end_is_said(journals: Journals[list[MaskRecord]]) -> None:
    with pytest.raises(ValueError, match="all 6 images .* but 4 are missing .* number 2"):
        journals.expect_complete()
    add(journals, 1, 3, 4, 5)
    assert list(journals.expect_complete()) == list(range(6))
    journals.remove()
    assert not journals.folder.exists()


def test_two_units_of_one_name_are_refused_whoever_has_finished_them(journals: Journals[list[MaskRecord]]) -> None:
    with journals.writer(2) as writer:
        for index in (1, 3, 4):
            writer.add(index, [])
        writer.add(5, records(2))
    for _ in range(2):
        with pytest.raises(ValueError, match="images of different names, .* got two of image 2"):
            journals.expect_complete()
