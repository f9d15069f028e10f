"""How the learning rate falls after its warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from sam_ft.checks import expect_whole_number


class Schedule(Protocol):
    """The share of the learning rate at a step after the warm-up."""

    def __call__(self, step: int, *, num_warmup: int, num_steps: int) -> float:
        """1 for the whole of it."""
        ...


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the end of the warm-up to the end of the run.

    Attributes:
        final_lr: share of the learning rate that is left after the last step.

    Raises:
        ValueError: the share is not in [0, 1].

    Source: Loshchilov and Hutter 2017 (SGDR), equation 5, without restarts.
    """

    final_lr: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.final_lr <= 1:
            raise ValueError(f"Expected `final_lr` in [0, 1], but got {self.final_lr}.")

    def __call__(self, step: int, *, num_warmup: int, num_steps: int) -> float:
        """1 after the warm-up, `final_lr` after the last step."""
        progress = min((step - num_warmup) / max(num_steps - num_warmup, 1), 1.0)
        return self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Steps:
    """The learning rate is constant and falls at once at some points of the run.

    Attributes:
        milestones: these points, as shares of all steps, warm-up included.
        factor: what is left after each.

    Raises:
        ValueError: a share is not in (0, 1], or they do not rise.

    Source: SAM, appendix A: a tenth at 60 000 and at 86 666 of 90 000 steps.
    """

    milestones: tuple[float, ...] = (0.6667, 0.963)
    factor: float = 0.1

    def __post_init__(self) -> None:
        shares = list(self.milestones)
        object.__setattr__(self, "milestones", tuple(shares))
        if shares != sorted(set(shares)) or not all(0 < share <= 1 for share in shares):
            raise ValueError(f"Expected `milestones` to be rising shares of the run in (0, 1], but got {shares}.")
        if not 0 < self.factor <= 1:
            raise ValueError(f"Expected `factor` in (0, 1], but got {self.factor}.")

    def __call__(self, step: int, *, num_warmup: int, num_steps: int) -> float:
        """`factor` to the number of milestones that are behind."""
        return self.factor ** sum(step >= round(share * num_steps) for share in self.milestones)


@dataclass(frozen=True)
class Plateau:
    """The learning rate is constant, and `LowerOnPlateau` lowers it where validation no longer improves.

    Attributes:
        factor: what is left each time.
        patience: validations in a row without improvement that change nothing; the next one lowers it.

    Raises:
        ValueError: `factor` is not in (0, 1), or `patience` is no whole number.

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau; the numbers are micro-sam's (training/training.py).
    """

    factor: float = 0.9
    patience: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"Expected `factor` in (0, 1), but got {self.factor}.")
        expect_whole_number("patience", self.patience, least=0)

    def __call__(self, step: int, *, num_warmup: int, num_steps: int) -> float:
        """The whole learning rate; how validation went is not known here."""
        return 1.0
