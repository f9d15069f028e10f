"""Where embeddings are kept, how many of each image, and in which type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sam_ft.checks import expect_whole_number

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""By the names that settings have."""


@dataclass(frozen=True)
class EmbeddingCacheSettings:
    """A frozen image encoder's embeddings are read from the disk instead of being computed in every step.

    Attributes:
        folder: where they are kept; all trainings may share one.
        views: how many augmented copies of each training image there are; epoch e sees copy e % views. 1: images are
            not augmented.
        dtype: one of `DTYPES`. float32 gives the losses of training without the cache, the others take half the disk.
    """

    folder: str | Path
    views: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        expect_whole_number("views", self.views, least=1)
        if self.dtype not in DTYPES:
            raise ValueError(f"Expected `dtype` to be one of {', '.join(DTYPES)}, but got {self.dtype!r}.")
