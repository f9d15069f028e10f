"""When a training validates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sam_ft.checks import expect_whole_number

_VALIDATION_INTERVAL = 100
"""Batches between validations where nothing else is said."""


def with_validation(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the trainer, by which at least one validation happens, since that chooses the best checkpoint.

    Raises:
        ValueError: They leave none.
    """
    arguments = dict(given)
    if arguments.get("limit_val_batches") == 0:
        raise ValueError("Expected at least one validation, but trainer.limit_val_batches=0 leaves none.")
    num_steps = expect_whole_number("trainer.max_steps", arguments.get("max_steps", -1), least=-1)
    num_batches = num_steps * arguments.get("accumulate_grad_batches", 1)
    if all(arguments.get(name) is None for name in ("val_check_interval", "check_val_every_n_epoch")):
        for name in ("val_check_interval", "check_val_every_n_epoch"):
            arguments.pop(name, None)
        if num_steps > 0:
            interval = min(_VALIDATION_INTERVAL, num_batches)
            arguments |= {"check_val_every_n_epoch": None, "val_check_interval": interval}
    interval = arguments.get("val_check_interval", 1.0)
    if not isinstance(interval, (int, float)) or interval <= 0:
        raise ValueError(f"Expected `trainer.val_check_interval` above 0, but got {interval!r}.")
    counts_batches = isinstance(interval, int) and arguments.get("check_val_every_n_epoch", 1) is None
    if counts_batches and 0 <= num_batches < interval:
        raise ValueError(
            f"Expected at least one validation, but trainer.val_check_interval={interval} batches are more than the "
            f"{num_batches} of trainer.max_steps={num_steps}: give a smaller interval, or null."
        )
    return arguments
