"""Small convolutional adapters in every block of a frozen image encoder.

Source: Cheng et al. 2023 (SAM-Med2D) and OpenGVLab/SAM-Med2D, segment_anything/modeling/image_encoder.py.
Ours differ in three points, so that a model with new adapters still answers as the one that it was made from: the last
convolution starts at zero; no ReLU follows it, which would keep it there; and the adapter's input is not added to its
output nor normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sam_ft.models.adapt.freeze import known_parts, train_only
from sam_ft.models.sam.image_encoder import blocks_of
from sam_ft.models.sam.model import Sam


class ConvAdapter(nn.Module):
    """A gate on the channels, then a look at the neighbourhood at half the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate_in = nn.Linear(width, width // 4, bias=False)
        self.gate_out = nn.Linear(width // 4, width, bias=False)
        self.down = nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.up = nn.ConvTranspose2d(width, width, kernel_size=4, stride=2, padding=1, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C) for any h and w; zero before the first step of training."""
        height, width = x.shape[1:3]
        gate = self.gate_out(self.gate_in(x.mean(dim=(1, 2))).relu()).sigmoid()  # (B, C)
        gated = (x * gate[:, None, None]).permute(0, 3, 1, 2)  # (B, C, h, w)
        enlarged = self.up(self.down(gated).relu())  # one row or column more than came in where their number is odd
        return enlarged[..., :height, :width].permute(0, 2, 3, 1)  # (B, h, w, C)


@dataclass(frozen=True)
class Adapters:
    """The image encoder's adapters learn, and what is named beside them; the rest stays as it is.

    Attributes:
        beside: parts that learn whole beside the adapters; SAM-Med2D trains both.

    Raises:
        ValueError: a part is unknown, or is the image encoder itself.
    """

    beside: tuple[str, ...] = ("prompt_encoder", "mask_decoder")

    def __post_init__(self) -> None:
        object.__setattr__(self, "beside", known_parts("beside", self.beside))
        if "image_encoder" in self.beside:
            raise ValueError("Expected `beside` without image_encoder, which adapters leave frozen, but got it.")

    def __call__(self, model: Sam) -> None:
        """Add adapters where there are none yet, and choose what learns, in place."""
        add_adapters(model)
        train_only(model, self.beside)
        for block in blocks_of(model.image_encoder):
            if block.adapter is not None:
                block.adapter.requires_grad_(True)


def add_adapters(model: Sam) -> None:
    """Give every block of the image encoder an adapter; a block that has one keeps it."""
    weight = model.image_encoder.pos_embed
    for block in blocks_of(model.image_encoder):
        if block.adapter is None:
            with torch.device(weight.device):
                block.adapter = ConvAdapter(weight.shape[-1]).to(weight.dtype)
