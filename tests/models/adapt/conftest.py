"""A small SAM and what it answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import sam
from sam_ft.types import Prompts


@pytest.fixture
def make() -> Callable[..., Sam]:
    """Makes a SAM, always with the same weights."""

    def build(*, image_size: int = 64) -> Sam:
        torch.manual_seed(0)
        return sam(
            image_size=image_size,
            encoder_width=24,
            encoder_depth=2,
            encoder_heads=2,
            global_attention_blocks=(1,),
            window_size=2,
            decoder_width=32,
        ).eval()

    return build


@pytest.fixture
def answer() -> Callable[..., Tensor]:
    """What a model, perhaps wrapped by peft, says to a box and a point on a fixed image: logits and IoU, flat."""

    @torch.no_grad()
    def ask(model: Sam, *, image_size: int = 64) -> Tensor:
        images = torch.rand(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(1))
        prompts = Prompts(
            points=torch.tensor([[[[20.0, 30.0]]]]).expand(2, 1, 1, 2),
            labels=torch.ones(2, 1, 1, dtype=torch.long),
            boxes=torch.tensor([[[4.0, 5.0, 40.0, 48.0]]]).expand(2, 1, 4),
        )
        prediction = model.decode(model.encode_image(images), prompts, multimask_output=None)
        return torch.cat([prediction.low_res_logits.flatten(), prediction.iou_predictions.flatten()])

    return ask


@pytest.fixture
def learn() -> Callable[[Sam], Sam]:
    """Moves everything that learns, as a training would; returns the model."""

    def move(model: Sam) -> Sam:
        generator = torch.Generator().manual_seed(2)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        return model

    return move
