"""Random weights of which none is left at a value that hides a mistake, such as zero."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def redraw() -> Callable[[nn.Module], nn.Module]:
    """Draws every parameter anew at a scale that keeps the activations in bounds; returns the module."""

    def draw(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(17)
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:  # biases, and the weights of normalisations
                drawn = 0.2 * noise + float(name.endswith("weight"))
            elif "rel_pos" in name or "token" in name or "embed" in name:
                drawn = 0.5 * noise
            else:
                drawn = noise / parameter[0].numel() ** 0.5
            parameter.data.copy_(drawn)
        return module

    return draw
