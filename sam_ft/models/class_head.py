"""Which class a prompted mask is of: a small head on the mask decoder's output tokens."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sam_ft.models.class_names import ClassNames
from sam_ft.models.layers import HeadMLP


class ClassHead(nn.Module):
    """One perceptron for all mask tokens, each of which has made one mask.

    Args:
        width: of the tokens.
        names: of the classes.
    """

    def __init__(self, width: int, names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = ClassNames(names)
        self.mlp = HeadMLP(width, width, len(self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the K classes."""
        return self.class_names.names

    def forward(self, mask_tokens: Tensor) -> Tensor:
        """(..., C) -> (..., K) logits, to be compared by softmax: a mask is of one class."""
        return self.mlp(mask_tokens)
