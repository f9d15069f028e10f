from __future__ import annotations

from typing import Any

import pytest

from sam_ft.lightning.validation_interval import with_validation


@pytest.mark.parametrize(
    "given, interval",
    [
        ({"max_steps": 7}, {"val_check_interval": 7, "check_val_every_n_epoch": None}),
        ({"max_steps": 700}, {"val_check_interval": 100, "check_val_every_n_epoch": None}),
        (
            {"max_steps": 7, "val_check_interval": None, "check_val_every_n_epoch": None, "accumulate_grad_batches": 3},
            {"val_check_interval": 21, "check_val_every_n_epoch": None, "accumulate_grad_batches": 3},
        ),
        ({"max_epochs": 2, "val_check_interval": None, "check_val_every_n_epoch": None}, {}),
        ({"max_steps": 9, "check_val_every_n_epoch": 2}, {"check_val_every_n_epoch": 2}),
    ],
)
def test_where_nothing_is_said_validation_comes_every_100_steps_or_at_the_end(given: Any, interval: Any) -> None:
    rest = {name: value for name, value in given.items() if name.startswith("max")}
    assert with_validation(given) == rest | interval
