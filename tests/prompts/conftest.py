from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sam_ft.prompts.truth import Truth


def _truth(masks: Tensor, *, valid: Tensor | None = None, inside: Tensor | None = None) -> Truth:
    everywhere = torch.ones(len(masks), 1, *masks.shape[-2:], dtype=torch.bool)
    everyone = torch.ones(masks.shape[:2], dtype=torch.bool)
    return Truth(
        masks=masks, valid=everyone if valid is None else valid, inside=everywhere if inside is None else inside
    )


@pytest.fixture
def make_truth() -> Callable[..., Truth]:
    """Makes the truth of masks (B, N, S, S); without more said, all are valid and no image is padded."""
    return _truth


@pytest.fixture
def seeded() -> Callable[..., torch.Generator]:
    """Makes a generator from a seed, 0 unless given."""
    return lambda seed=0: torch.Generator().manual_seed(seed)
