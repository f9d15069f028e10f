"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with a linear warm-up and a cosine decay.

    Attributes:
        lr: the highest learning rate.
        weight_decay: for weights of two and more dimensions; biases and norms have none.
        warmup: share of the steps in which the learning rate rises from 0.
        final_lr: share of `lr` that is left after the last step.
        betas: AdamW's running averages.
    """

    lr: float = 1e-4
    weight_decay: float = 0.1
    warmup: float = 0.05
    final_lr: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if not self.lr > 0 or not self.weight_decay >= 0:
            raise ValueError(
                f"Expected `lr` above 0 and `weight_decay` of at least 0, but got {self.lr} and {self.weight_decay}."
            )
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"Expected `betas` to be two numbers in [0, 1), but got {list(self.betas)}.")
        if not 0 <= self.warmup < 1 or not 0 <= self.final_lr <= 1:
            raise ValueError(
                f"Expected `warmup` in [0, 1) and `final_lr` in [0, 1], but got {self.warmup} and {self.final_lr}."
            )

    def optimiser(self, model: nn.Module) -> Optimizer:
        """AdamW over every parameter that requires a gradient.

        Raises:
            ValueError: if none does.
        """
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trained:
            raise ValueError("Expected at least one parameter to train, but all are frozen.")
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        betas = (self.betas[0], self.betas[1])
        optimiser = AdamW([group for group in groups if group["params"]], lr=self.lr, betas=betas, fused=True)
        optimiser._step_supports_amp_scaling = False  # type: ignore[attr-defined]  # else Lightning refuses to clip
        return optimiser

    def schedule(self, optimiser: Optimizer, num_steps: int) -> LambdaLR:
        """The learning rate of each of `num_steps` optimiser steps."""
        return LambdaLR(optimiser, lambda step: self.lr_factor(step, num_steps))

    def lr_factor(self, step: int, num_steps: int) -> float:
        """Share of `lr` at a step: above 0 at the first one, `final_lr` after the last."""
        num_warmup = round(self.warmup * num_steps)
        if step < num_warmup:
            return (step + 1) / (num_warmup + 1)
        progress = min((step - num_warmup) / max(num_steps - num_warmup, 1), 1.0)
        return self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * progress))
