"""Lightning's names of precisions."""

from __future__ import annotations

import torch

_MIXED = {"bf16-mixed": torch.bfloat16, "bf16": torch.bfloat16, "16-mixed": torch.float16, "16": torch.float16}


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The type that a mixed precision lets operations have; None for 32 bits, for which all others are taken."""
    return _MIXED.get(precision)
