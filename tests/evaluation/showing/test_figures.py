from __future__ import annotations

import pytest

from sam_ft.evaluation.showing.figures import with_interval, written, written_with_ends
from sam_ft.metrics.bootstrap import Interval


@pytest.mark.parametrize(
    "key, text",
    [
        ("noc@85", "1,234.57"),
        ("nof@85", "1,235"),
        ("hd95_mm", "1,234.57"),
        ("difference_ml", "1,234.57"),
        ("miou@3", "1,234.568"),
    ],
)
def test_a_figure_has_the_places_that_it_needs(key: str, text: str) -> None:
    assert written(key, 1234.5678) == text
    assert written_with_ends(key, 1234.5678, (1234.5678, 1234.5678)) == f"{text} [{text}, {text}]"


def test_a_figure_without_an_interval_stands_alone_and_none_is_empty() -> None:
    intervals = {"miou@1": Interval(0.5, 0.4, 0.625), "box": Interval(1, 1, 1)}
    found = [with_interval(key, {"miou@1": 0.5, "miou@3": 0.75}, intervals) for key in ("miou@1", "miou@3", "box")]
    assert found == ["0.500 [0.400, 0.625]", "0.750", ""]
