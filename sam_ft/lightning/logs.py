"""What a training writes down as it goes: `metrics.csv` always, wandb if wanted."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

WANDB_MODES = ("offline", "online", "disabled")


@contextmanager
def loggers(
    output: Path, *, wandb: str, config: Mapping[str, Any], steps_done: int | None = None
) -> Iterator[list[Logger]]:
    """The loggers of one training; afterwards its wandb run is closed, so that the next one gets its own.

    Args:
        output: the folder of the run.
        wandb: one of `WANDB_MODES`.
        config: what wandb shows as the run's settings.
        steps_done: where a resumed run goes on; None for a new one.
    """
    made: list[Logger] = [csv_logger(output, steps_done=steps_done)]
    if wandb == "disabled":
        yield made
        return
    import wandb as library  # slow to import

    is_own = library.run is None  # else the caller has opened a run, which Lightning joins
    offline = wandb == "offline"
    settings = library.Settings(silent=offline)  # online, it tells the address of the run
    logger = WandbLogger(project="sam-ft", save_dir=output, offline=offline, config=dict(config), settings=settings)
    logger._wandb_init.pop("anonymous", None)  # Lightning sets it always, and wandb warns of it
    made.append(logger)
    try:
        yield made
    finally:
        if is_own and library.run is not None:
            library.finish()


def csv_logger(output: Path, *, steps_done: int | None = None) -> CSVLogger:
    """`metrics.csv`; a resumed run keeps the rows before its first step, which Lightning's logger would delete."""
    path = output / "metrics.csv"
    earlier: list[dict[str, Any]] = []
    if steps_done is not None and path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            earlier = [row for row in csv.DictReader(file) if int(row["step"]) < steps_done]
    logger = CSVLogger(output, name="", version="")
    if earlier:
        logger.experiment.metrics = earlier
        logger.save()
    return logger
