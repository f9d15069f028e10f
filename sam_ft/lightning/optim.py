"""Optimiser, learning-rate schedule and averaging of the weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sam_ft.lightning.muon import Muon
from sam_ft.lightning.parameter_groups import Rates
from sam_ft.lightning.schedules import Cosine, Schedule


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with a linear warm-up and a schedule after it.

    Attributes:
        lr: the highest learning rate.
        lr_factors: what `lr` is multiplied by in `image_encoder`, `prompt_encoder` and `mask_decoder`; see `Rates`.
        layer_decay: what it is multiplied by from block to block down the image encoder; see `Rates`.
        muon: what `lr` is multiplied by for weight matrices, which Muon moves then; None: AdamW moves them too.
        weight_decay: of weights; biases, norms, embeddings and tables of positions have none.
        warmup: share of the steps in which the learning rate rises from 0, or, as a whole number, these steps.
        schedule: how it falls afterwards.
        betas: AdamW's running averages.
        ema: what the average of the weights keeps of itself in each step; it is validated and saved instead of the
            weights. None: no average.

    Raises:
        ValueError: a value is out of range.
    """

    lr: float = 1e-4
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    layer_decay: float = 1.0
    muon: float | None = None
    weight_decay: float = 0.1
    warmup: float = 0.05
    schedule: Schedule = field(default_factory=Cosine)
    betas: tuple[float, float] = (0.9, 0.999)
    ema: float | None = None

    def __post_init__(self) -> None:
        self.rates()  # refuses what is out of range
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"Expected `betas` to be two numbers in [0, 1), but got {list(self.betas)}.")
        if not self.warmup >= 0 or (not isinstance(self.warmup, int) and self.warmup >= 1):
            raise ValueError(
                f"Expected `warmup` to be a share in [0, 1) or a whole number of steps, but got {self.warmup}."
            )
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"Expected `ema` between 0 and 1, such as 0.999, or null, but got {self.ema}.")

    def rates(self) -> Rates:
        """Learning rate and weight decay of each parameter."""
        return Rates(
            lr=self.lr,
            lr_factors=self.lr_factors,
            layer_decay=self.layer_decay,
            weight_decay=self.weight_decay,
            muon=self.muon,
        )

    def optimiser(self, model: nn.Module) -> Optimizer:
        """AdamW, and Muon where asked for, over every parameter that requires a gradient, each exactly once.

        Raises:
            ValueError: if none does.
        """
        groups: dict[tuple[float, float, bool], list[nn.Parameter]] = defaultdict(list)
        for each in self.rates().of(model):
            groups[each.lr, each.weight_decay, each.by_muon].append(each.parameter)
        if not groups:
            raise ValueError("Expected at least one parameter to train, but all are frozen.")
        listed = [
            {"params": params, "lr": lr, "weight_decay": decay, "muon": by_muon}
            for (lr, decay, by_muon), params in groups.items()
        ]
        kind = AdamW if self.muon is None else Muon
        optimiser = kind(listed, lr=self.lr, betas=(self.betas[0], self.betas[1]), fused=True)
        optimiser._step_supports_amp_scaling = False  # type: ignore[attr-defined]  # else Lightning refuses to clip
        return optimiser

    def scheduler(self, optimiser: Optimizer, num_steps: int) -> LambdaLR:
        """The learning rate of each of `num_steps` optimiser steps."""
        return LambdaLR(optimiser, lambda step: self.lr_factor(step, num_steps))

    def lr_factor(self, step: int, num_steps: int) -> float:
        """Share of `lr` at a step: above 0 at the first one; after the warm-up what the schedule says."""
        num_warmup = self.warmup if isinstance(self.warmup, int) else round(self.warmup * num_steps)
        if step < num_warmup:
            return (step + 1) / (num_warmup + 1)
        return self.schedule(step, num_warmup=num_warmup, num_steps=num_steps)
