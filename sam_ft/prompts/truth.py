"""What a simulated person has in mind."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Truth:
    """The objects to be segmented, in the model's frame."""

    masks: Tensor  # (B, N, S, S) bool
    valid: Tensor  # (B, N) bool
    inside: Tensor  # (B, 1, S, S) bool: the image without its padding, where prompts may lie
