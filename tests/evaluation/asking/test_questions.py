from __future__ import annotations

from typing import Any

import pytest

from sam_ft.evaluation.asking.questions import Questions


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"clicks": (), "box": False}, "nothing to measure"),
        ({"clicks": (0,)}, "`clicks` to be whole numbers of at least 1"),
        ({"clicks": 5}, r"such as \[1, 3, 5\]"),
        ({"clicks": "135"}, "`clicks`"),
        ({"box_clicks": (1.5,)}, "`box_clicks`"),
        ({"box": "yes"}, "`box` to be true or false"),
        ({"mask": None}, "`mask` to be true or false"),
    ],
)
def test_questions_that_make_no_sense_are_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Questions(**given)


def test_one_kind_of_question_is_enough() -> None:
    assert Questions(clicks=(), box=False, mask=True).mask
    assert Questions(clicks=(), box=False, box_clicks=[2]).box_clicks == [2]
