from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sam_ft.data.synthetic import Synthetic
from sam_ft.evaluation.asking.questions import Questions
from sam_ft.evaluation.measuring import measure_interactively
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.showing.extremes import ask_extremes_again, extreme_records

RECORDS = [MaskRecord("a", index, "object", 9, "click", 3, index / 10, 0.5) for index in (3, 0, 6, 2, 5, 1, 4)]
SAMPLES = Synthetic(4, image_size=32)


def test_the_worst_the_middle_and_the_best_are_chosen() -> None:
    chosen = extreme_records(RECORDS, 2)
    found = {word: [record.object_index for record in records] for word, records in chosen.items()}
    assert found == {"Worst": [0, 1], "Median": [2, 3], "Best": [6, 5]}
    assert [record.object_index for record in extreme_records(RECORDS, 1)["Median"]] == [3]


def test_no_object_comes_twice() -> None:
    for length in range(8):
        chosen = [each for records in extreme_records(RECORDS[:length], 3).values() for each in records]
        assert len(chosen) == len(set(chosen)) == 3 * (length // 3)


def test_the_last_round_of_clicks_chooses_and_the_box_where_there_is_none() -> None:
    others = [replace(record, prompt="box", num_clicks=9, iou=1 - record.iou) for record in RECORDS]
    others += [replace(record, num_clicks=1, iou=1 - record.iou) for record in RECORDS]
    assert extreme_records([*others, *RECORDS], 1) == extreme_records(RECORDS, 1)
    boxes = [replace(record, prompt="box", num_clicks=0) for record in RECORDS]
    assert {each.prompt for records in extreme_records(boxes, 1).values() for each in records} == {"box"}


def test_the_extremes_are_asked_again_for_their_masks(box_model: Callable[..., Any]) -> None:
    model, questions = box_model(margin=1), Questions(clicks=(), box_clicks=(1,))
    measured = measure_interactively(model, SAMPLES, questions, batch_size=3)
    extremes, again = ask_extremes_again(model, SAMPLES, measured, questions=questions, user=None, count=2)
    assert [each.word for each in extremes] == ["Worst"] * 2 + ["Median"] * 2 + ["Best"] * 2
    iou_of = {(each.image, each.object_index, each.num_clicks): each.iou for each in measured.records}
    shown = []
    for each in extremes:
        key = (each.case.sample.name, each.case.object_index, each.prompt, each.num_clicks)
        assert key[2:] == ("box", 1)
        record, mask = again.answers[key]
        truth = each.case.sample.masks[each.case.object_index]
        assert torch.equal(truth, SAMPLES[measured.places[key[0]]].masks[key[1]])
        assert record.iou == pytest.approx(iou_of[key[0], key[1], 1])
        assert ((mask & truth).sum() / (mask | truth).sum()).item() == pytest.approx(record.iou)
        shown.append(record.iou)
    last = sorted(iou for (_, _, count), iou in iou_of.items() if count == 1)
    assert shown[:2] == pytest.approx(last[:2]) and shown[4:] == pytest.approx(last[-2:][::-1])
