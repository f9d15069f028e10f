"""A class for each pixel without any prompt: learnt tokens in the place of the mask decoder's mask tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sam_ft.models.class_names import ClassNames
from sam_ft.models.layers import HeadMLP

BACKGROUND_CLASS = "background"
"""The first class of every semantic head: what belongs to no object."""

_NOISE = 2.0
"""How much the new tokens differ from the one that they start from, in units of its own deviation.

Near-copies take long to part: on one CamVid image with 12 classes, 40 steps bring the cross-entropy to 1.25 with 0.1,
to 0.50 with 1 and to 0.34 with 2.
"""


class SemanticHead(nn.Module):
    """One token for each class, and one perceptron that makes of each token the kernel of its class's map.

    The background is a class like the others and all compete by softmax: each pixel is of exactly one class, which is
    what label maps say and what a confusion matrix counts. Sigmoids would leave pixels to several classes or to none.

    Sharing the perceptron among the classes is Mask2Former's way (Cheng et al. 2022); finetune-anything has one for
    each class.

    Args:
        width: of the tokens.
        names: of the classes; the background is added where it is not among them.
    """

    def __init__(self, width: int, names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = ClassNames(with_background(names))
        self.class_tokens = nn.Embedding(len(self.names), width)
        self.hypernetwork = HeadMLP(width, width, width, width // 8)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the K classes, the background first."""
        return self.class_names.names

    @torch.no_grad()
    def start_from(self, mask_token: Tensor, hypernetwork: nn.Module) -> None:
        """Begin as K variations of one mask of SAM, which has learnt what masks look like.

        Args:
            mask_token: (C,).
            hypernetwork: the perceptron of that mask.
        """
        noise = _NOISE * mask_token.std() * torch.randn_like(self.class_tokens.weight)
        self.class_tokens.weight.copy_(mask_token + noise)
        self.hypernetwork.load_state_dict(hypernetwork.state_dict())

    def kernels(self, tokens: Tensor) -> Tensor:
        """What the decoder has made of the class tokens, (B, N, K, C) -> (B, N, C / 8, K)."""
        return self.hypernetwork(tokens).transpose(2, 3)


def with_background(names: Sequence[str]) -> tuple[str, ...]:
    """The classes of pixels: the background first, then all others as they come."""
    return (BACKGROUND_CLASS, *(name for name in names if name != BACKGROUND_CLASS))
