"""Which parts of a model are trained."""

from __future__ import annotations

from collections.abc import Callable

from sam_ft.models.sam.model import Sam


def train_everything(model: Sam) -> None:
    """Image encoder, prompt encoder and mask decoder all learn."""
    model.requires_grad_(True)


def train_decoder(model: Sam) -> None:
    """Only the mask decoder learns; the image encoder runs without gradients."""
    model.requires_grad_(False)
    model.mask_decoder.requires_grad_(True)


ADAPT: dict[str, Callable[[Sam], None]] = {"full": train_everything, "decoder": train_decoder}


def adapt(model: Sam, how: str) -> None:
    """Choose what is trained by name.

    Raises:
        ValueError: for an unknown name.
    """
    if how not in ADAPT:
        raise ValueError(f"Expected `adapt` to be one of {', '.join(ADAPT)}, but got {how!r}.")
    ADAPT[how](model)
