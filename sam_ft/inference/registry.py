"""Models by the names that scripts for segment_anything use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sam_ft.checkpoints import load_model
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import VARIANTS, build_model, variant_of


class BuildSam:
    """Builds a SAM of one size.

    Args:
        name: of the size.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, checkpoint: str | Path | None = None) -> Sam:
        """A SAM in evaluation mode.

        Args:
            checkpoint: a file or folder that `load_model` reads, or a known name such as `sam_vit_b`; None: random
                weights.

        Raises:
            ValueError: the checkpoint cannot be read, or is of another size.
        """
        if checkpoint is None:
            return build_model(self._name).eval()
        model = load_model(checkpoint)
        if (found := variant_of(model)) != self._name:
            raise ValueError(f"Expected a {self._name} in {checkpoint}, but got {found or 'a size without a name'}.")
        return model

    def __repr__(self) -> str:
        return f"BuildSam({self._name!r})"


sam_model_registry: dict[str, Callable[..., Sam]] = {
    **{name: BuildSam(name) for name in VARIANTS},
    "default": BuildSam("vit_h"),
}
"""From a name to what builds the model: `sam_model_registry["vit_b"](checkpoint="sam_vit_b_01ec64.pth")`."""
