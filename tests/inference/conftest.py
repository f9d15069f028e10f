"""A model that answers each point with three squares of a size of their own around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts


class SquareModel:
    """At the point (x, y): squares of 3, 5 and 7 pixels of the decoder's map, trusted by (x, y) and the token."""

    def __init__(self, *, image_size: int = 64) -> None:
        self.image_size = image_size
        self.points_per_call: list[int] = []

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(features=images[:, :1])

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        assert multimask_output is True and prompts.points is not None and prompts.labels is not None
        assert prompts.labels.unique().tolist() == [1]
        points = prompts.points[:, :, 0]  # (1, N, 2)
        self.points_per_call.append(points.shape[1])
        size = self.image_size // 4
        index = torch.arange(size) * 4 + 1.5
        x, y = points[..., 0, None, None], points[..., 1, None, None]
        distance = torch.maximum((index[None, :] - x).abs(), (index[:, None] - y).abs()) / 4  # (1, N, h, w)
        logits = torch.stack([4 * (half - distance) for half in (1.5, 2.5, 3.5)], dim=2)  # (1, N, 3, h, w)
        trust = torch.tensor([0.7, 0.9, 0.5]) + points.sum(dim=-1, keepdim=True) / 10000
        return MaskPrediction(low_res_logits=logits, iou_predictions=trust)


@pytest.fixture
def square_model() -> type[SquareModel]:
    return SquareModel
