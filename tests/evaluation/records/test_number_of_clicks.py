from __future__ import annotations

from dataclasses import replace

import pytest

from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.number_of_clicks import clicks_needed, clicks_to, failures


def record(image: str, *, rounds: int = 9, to_85: int | None = None, to_90: int | None = None) -> MaskRecord:
    return MaskRecord(
        image, 0, "object", 9, "click", rounds, 0.5, 0.5, oracle_iou=0.75, clicks_to_85=to_85, clicks_to_90=to_90
    )


RECORDS = [record("a", to_85=1, to_90=4), record("b", to_85=9), record("c")]


def test_a_mask_that_never_gets_there_counts_with_the_most_clicks_and_as_a_failure() -> None:
    means = {key: figure.mean for key, figure in clicks_needed(RECORDS).items()}
    assert means == {"noc@85": pytest.approx((1 + 9 + 9) / 3), "noc@90": pytest.approx((4 + 9 + 9) / 3)}
    assert failures(RECORDS) == {"nof@85": 1, "nof@90": 2}


def test_only_the_last_round_counts() -> None:
    earlier = [record(each.image, rounds=3) for each in RECORDS]
    assert clicks_needed([*earlier, *RECORDS]) == clicks_needed(RECORDS)


def test_one_click_or_none_needs_no_counting() -> None:
    assert clicks_needed([record("a", rounds=1, to_85=1)]) == failures([record("a", rounds=1)]) == {}
    assert clicks_needed([]) == failures([]) == {}


def test_clicks_to_an_iou_need_records_of_clicks() -> None:
    boxes = [replace(each, prompt="box", num_clicks=0) for each in RECORDS]
    for without in (boxes, []):
        with pytest.raises(ValueError, match="Expected records of clicks, but got none"):
            clicks_to(without, 0.9)
