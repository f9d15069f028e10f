from __future__ import annotations

from sam_ft.data.preparing.groups import joined


def test_chains_become_one_group_and_the_others_stay_alone() -> None:
    assert joined(6, [(4, 2), (2, 0), (5, 5)]) == [[0, 2, 4], [1], [3], [5]]


def test_without_links_each_is_a_group() -> None:
    assert joined(3, []) == [[0], [1], [2]] and joined(0, []) == []
