"""What is trained, by name. The folder configs/adapt has the same names."""

from __future__ import annotations

from collections.abc import Callable

from sam_ft.models.adapt.adapter import Adapters
from sam_ft.models.adapt.freeze import TrainNormsAndBiases, TrainParts
from sam_ft.models.adapt.hq import HighQuality
from sam_ft.models.adapt.lora import Lora
from sam_ft.models.sam.model import Sam

ADAPT: dict[str, Callable[[Sam], None]] = {
    "full": TrainParts(),
    "decoder": TrainParts(("mask_decoder",)),
    "prompt_and_decoder": TrainParts(("prompt_encoder", "mask_decoder")),
    "lora": Lora(),
    "adapter": Adapters(),
    "norm_and_bias": TrainNormsAndBiases(),
    "hq": HighQuality(),
}


def adapt(model: Sam, how: str) -> None:
    """Choose what is trained by name, with the settings that it has where nothing else is said; changes the model.

    Raises:
        ValueError: for an unknown name.
    """
    if how not in ADAPT:
        raise ValueError(f"Expected `adapt` to be one of {', '.join(ADAPT)}, but got {how!r}.")
    ADAPT[how](model)
