"""Muon: weight matrices take steps in which no direction is larger than another; AdamW moves everything else.

From random weights a model learns from far fewer images so. Source: Jordan et al. 2024, "Muon: an optimizer for hidden
layers in neural networks"; the size of a step, which suits learning rates of AdamW: Liu et al. 2025, "Muon is scalable
for LLM training", equation 4.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import AdamW

_MOMENTUM = 0.95
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial of Newton and Schulz: steep at zero, and near enough to 1 from there on (Jordan et al.)."""
_RMS = 0.2
"""Of a step of learning rate 1, as AdamW's usually are (Liu et al.)."""


class Muon(AdamW):
    """AdamW, but for groups with `"muon": True`, whose parameters must be matrices.

    Args:
        groups: as of `torch.optim.AdamW`.
        **settings: as there.

    Raises:
        ValueError: a parameter of Muon is no matrix.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], **settings: Any) -> None:
        super().__init__([{"muon": False, **group} for group in groups], **settings)
        for parameter in self._of_muon():
            if parameter.ndim != 2:
                raise ValueError(f"Expected matrices for Muon, but got a parameter of shape {tuple(parameter.shape)}.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["muon"]:
                self._step_matrices(group)
        gradients = [(parameter, parameter.grad) for parameter in self._of_muon()]
        for parameter, _ in gradients:
            parameter.grad = None  # AdamW passes over it
        super().step()
        for parameter, gradient in gradients:
            parameter.grad = gradient
        return loss

    def _of_muon(self) -> list[Tensor]:
        return [parameter for group in self.param_groups if group["muon"] for parameter in group["params"]]

    def _step_matrices(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for shape, parameters in by_shape.items():
            directions = orthogonal(torch.stack([self._direction(parameter) for parameter in parameters]))
            size = group["lr"] * _RMS * math.sqrt(max(shape))
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(direction.to(parameter.dtype), alpha=-size)

    def _direction(self, parameter: Tensor) -> Tensor:
        """The gradient and its running mean, by Nesterov's rule."""
        state, gradient = self.state[parameter], cast(Tensor, parameter.grad)
        if not state:
            state["step"] = torch.zeros(())  # AdamW looks for it when a state is loaded
            state["momentum"] = torch.zeros_like(gradient)
        state["step"] += 1
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        return gradient.lerp(momentum, _MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices with the same singular vectors and singular values near 1, between 0.7 and 1.2.

    Five steps of an iteration after Newton and Schulz in bfloat16; singular values far below the largest one, by a
    thousand times and more, end lower.

    Args:
        matrices: (K, A, B).

    Returns:
        (K, A, B) bfloat16; zeros for zeros.
    """
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        squared = x @ x.mT
        x = a * x + (b * squared + c * squared @ squared) @ x
    return x.mT if tall else x
