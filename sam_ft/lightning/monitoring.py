"""What is watched during a training of masks of prompted objects, and what every kind of training says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sam_ft.checks import expect_whole_number
from sam_ft.lightning.logs import WANDB_MODES


@dataclass(frozen=True)
class Monitoring:
    """What is watched during training.

    Attributes:
        metric: validation metric of which the best checkpoint is kept, such as `miou@1` or `miou@box`.
        clicks: after which numbers of clicks validation measures.
        patience: validations without improvement after which training stops; None: never.
        pictures: samples in the picture of each validation.
        thresholds: validation images to which the mask generator's thresholds are fitted after the training; 0: none.
        wandb: `offline`, `online` or `disabled`.
    """

    metric: str = "miou@1"
    clicks: tuple[int, ...] = (1, 3, 5)
    patience: int | None = None
    pictures: int = 3
    thresholds: int = 16
    wandb: str = "offline"

    def __post_init__(self) -> None:
        for count in self.clicks:
            expect_whole_number("clicks", count, least=1)
        known = [*(f"miou@{count}" for count in self.clicks), "miou@box"]
        if self.metric not in known:
            raise ValueError(f"Expected `metric` to be one of {', '.join(known)}, but got {self.metric!r}.")
        expect_whole_number("thresholds", self.thresholds, least=0)
        expect_usable(self)


class Watched(Protocol):
    """What the monitoring of every kind of training says; see `Monitoring`."""

    @property
    def metric(self) -> str: ...

    @property
    def patience(self) -> int | None: ...

    @property
    def pictures(self) -> int: ...

    @property
    def wandb(self) -> str: ...


def expect_usable(watched: Watched) -> None:
    """Refuse settings of a monitoring that are out of range.

    Raises:
        ValueError: one is.
    """
    if watched.wandb not in WANDB_MODES:
        raise ValueError(f"Expected `wandb` to be one of {', '.join(WANDB_MODES)}, but got {watched.wandb!r}.")
    expect_whole_number("pictures", watched.pictures, least=0)
    if watched.patience is not None:
        expect_whole_number("patience", watched.patience, least=1)
