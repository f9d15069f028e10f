from __future__ import annotations

from sam_ft.evaluation.comparing.changes import Change
from sam_ft.evaluation.comparing.changes_shown import changes_table


def row(difference: float, low: float, high: float) -> Change:
    return Change("box", "all", 20, 20, 0.5, 0.5 + difference, difference, low, high)


def test_a_difference_that_may_be_chance_stands_in_brackets() -> None:
    table = changes_table([row(0.1, 0.05, 0.15), row(-0.1, -0.2, 0.01), row(-0.1, -0.2, -0.01)])
    assert [cells[4] for cells in table.rows] == ["+0.100", "(−0.100)", "−0.100"]
    assert [cells[6] for cells in table.rows] == ["better", "no clear difference", "worse"]
    assert table.rows[1][5] == "[−0.200, +0.010]"


def test_too_few_images_have_no_interval() -> None:
    few = Change("box", "all", 3, 3, 0.5, 0.6, 0.1, None, None)
    table = changes_table([few, row(0.1, 0.05, 0.15)])
    assert table.rows[0][4:] == ["(+0.100)", "", "too few images"]
    assert table.rows[1][4:] == ["+0.100", "[+0.050, +0.150]", "better"]


def test_the_columns_are_called_as_the_models_are() -> None:
    assert list(changes_table([row(0.1, 0.05, 0.15)], names=("a", "b")).columns[2:4]) == ["a", "b"]
