"""What is trained where nothing is added to a model: parts of it, or norms and biases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from sam_ft.models.layers import LayerNorm2d
from sam_ft.models.sam.model import Sam

PARTS = ("image_encoder", "prompt_encoder", "mask_decoder")
"""The parts of a SAM, as everything here names them."""


@dataclass(frozen=True)
class TrainParts:
    """Whole parts learn, the others stay as they are; a frozen image encoder runs without gradients.

    Attributes:
        parts: of `PARTS`.

    Raises:
        ValueError: a part is unknown, or there is none.
    """

    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", known_parts("parts", self.parts))
        if not self.parts:
            raise ValueError(f"Expected `parts` to be some of {', '.join(PARTS)}, but got none.")

    def __call__(self, model: Sam) -> None:
        """Choose what learns, in place."""
        train_only(model, self.parts)


@dataclass(frozen=True)
class TrainNormsAndBiases:
    """In the image encoder only norms and biases learn.

    Attributes:
        beside: parts that learn whole beside them.

    Raises:
        ValueError: a part is unknown.

    Source: Zaken et al. 2022 (BitFit), which trains biases.
    """

    beside: tuple[str, ...] = ("mask_decoder",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "beside", known_parts("beside", self.beside))

    def __call__(self, model: Sam) -> None:
        """Choose what learns, in place."""
        train_only(model, self.beside)
        for parameter in _norms_and_biases(model.image_encoder):
            parameter.requires_grad_(True)


def train_only(model: Sam, parts: Sequence[str]) -> None:
    """Freeze a model but for some of its parts."""
    model.requires_grad_(False)
    for part in parts:
        model.get_submodule(part).requires_grad_(True)


def known_parts(name: str, parts: Sequence[str]) -> tuple[str, ...]:
    """The parts themselves.

    Raises:
        ValueError: one is not of `PARTS`.
    """
    if isinstance(parts, str) or not set(parts) <= set(PARTS):
        raise ValueError(f"Expected `{name}` to be some of {', '.join(PARTS)}, but got {parts}.")
    return tuple(parts)


def _norms_and_biases(module: nn.Module) -> Iterator[nn.Parameter]:
    for submodule in module.modules():
        is_norm = isinstance(submodule, (nn.LayerNorm, LayerNorm2d))
        for name, parameter in submodule.named_parameters(recurse=False):
            if is_norm or name == "bias":
                yield parameter
