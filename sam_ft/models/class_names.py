"""The names of classes, kept among the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ClassNames(nn.Module):
    """The names of a head's classes, in the state dict as one more tensor: so weights alone tell what they know.

    Args:
        names: of the classes, in the order of the head's outputs.

    Raises:
        ValueError: there is none, one is empty, or two are equal.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = expect_class_names(names)

    def get_extra_state(self) -> Tensor:
        """The names as the bytes of a JSON list: (L,) uint8, always on the CPU."""
        return torch.tensor(list(json.dumps(self.names, ensure_ascii=False).encode()), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Take over the names of other weights."""
        self.names = decoded_names(state)


def decoded_names(state: Tensor) -> tuple[str, ...]:
    """The names in a tensor that `ClassNames` has made.

    Raises:
        ValueError: it is another kind of tensor.
    """
    return expect_class_names(json.loads(bytes(state.cpu().to(torch.uint8).tolist()).decode()))


def expect_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names themselves.

    Raises:
        ValueError: there is none, one is no text or empty, or two are equal.
    """
    if isinstance(names, str) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"Expected the names of classes, such as [cell, nucleus], but got {names!r}.")
    if len(set(names)) < len(names):
        raise ValueError(f"Expected each class once, but got {', '.join(names)}.")
    return tuple(names)
