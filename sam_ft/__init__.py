"""sam-ft: fine-tune Segment Anything models on your own domain."""

from __future__ import annotations

from sam_ft.checkpoints import load_model, save_meta
from sam_ft.models.sam.variants import build_model

__all__ = ["build_model", "load_model", "save_meta"]
