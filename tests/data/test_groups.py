from __future__ import annotations

from pathlib import Path

import pytest

from sam_ft.data.groups import group_in


def test_a_group_is_what_the_expression_matches() -> None:
    path = Path("data/sub-07/scan_2.npy")
    assert group_in(path, "(sub-[0-9]+)/scan") == group_in(path, "sub-[0-9]+") == "sub-07"


def test_an_expression_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="'patient' is not in scan_2.npy"):
        group_in(Path("scan_2.npy"), "patient")
    with pytest.raises(ValueError, match="is not in scan_2.npy"):
        group_in(Path("scan_2.npy"), "(sub)|scan")
    with pytest.raises(ValueError, match="regular expression"):
        group_in(Path("scan_2.npy"), "(sub")
