"""How Lightning's checkpoints reach the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from sam_ft.files import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is written beside its place and then renamed.

    Lightning itself writes to the system's folder for temporary files and moves that over the earlier checkpoint. Where
    this is another file system, the move is a copy, and a run that is killed meanwhile has lost both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint to a local path."""
        with atomic_write(path) as partial:
            torch.save(checkpoint, partial)
