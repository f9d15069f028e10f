"""Samples without any object, a share of which can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def share_of_empty(empty: Sequence[Item], share: float, *, seed: int) -> list[Item]:
    """As large a share of them as was asked for, drawn by the seed, in their order.

    Args:
        empty: The images or slices without object.
        share: From 0, none, to 1, all.
        seed: Another seed, another draw.

    Raises:
        ValueError: A share that is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"Expected `empty` to be a share from 0 to 1 of those without object, but got {share}.")
    chosen = np.random.default_rng(seed).permutation(len(empty))[: round(share * len(empty))]
    return [empty[number] for number in sorted(chosen)]
