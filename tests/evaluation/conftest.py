"""A model that answers with the box it is given, and clicks with a square around the first of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts


class BoxModel:
    """Draws the box, `margin` pixels wider on each side, with the logit `strength(width in pixels)`."""

    def __init__(
        self, *, image_size: int = 32, margin: int = 0, strength: Callable[[float], float] = lambda width: 10.0
    ) -> None:
        self.image_size = image_size
        self.margin = margin
        self.strength = strength

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(features=images[:, :1])

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        if prompts.boxes is not None:
            boxes = prompts.boxes.round().long()
        else:
            assert prompts.points is not None
            centre = prompts.points[:, :, 0].round().long()
            boxes = torch.cat([centre - 2, centre + 2], dim=-1).clamp(min=0)
        size = self.image_size
        logits = torch.full((*boxes.shape[:2], 3 if multimask_output else 1, size, size), -10.0)
        for index in torch.cartesian_prod(*map(torch.arange, boxes.shape[:2])).view(-1, 2).tolist():
            x0, y0, x1, y1 = boxes[tuple(index)].tolist()
            rows = slice(max(y0 - self.margin, 0), y1 + self.margin + 1)
            columns = slice(max(x0 - self.margin, 0), x1 + self.margin + 1)
            logits[tuple(index)][:, rows, columns] = self.strength(x1 - x0 + 1)
        return MaskPrediction(low_res_logits=logits, iou_predictions=torch.ones(logits.shape[:3]))


@pytest.fixture
def box_model() -> type[BoxModel]:
    return BoxModel
