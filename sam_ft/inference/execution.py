"""How a model is run when it predicts: in which precision, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.models.sam.model import Sam
from sam_ft.types import ConfidentMasks, ImageEmbedding, MaskPrediction, Prompts


@dataclass(frozen=True)
class Execution:
    """A choice for a predictor or a mask generator.

    Attributes:
        bf16: matrix products in bfloat16, about twice as fast where the processor has them, with masks that differ in a
            few pixels of their edges.
        compiled: the image encoder through `torch.compile`: the first image takes a minute, later ones less.
    """

    bf16: bool = False
    compiled: bool = False

    def of(self, model: Sam) -> RunningModel:
        """The model, run so."""
        return RunningModel(model, self)


class RunningModel:
    """A promptable model that runs another one in a chosen way and answers in float32."""

    def __init__(self, model: Sam, execution: Execution) -> None:
        self.model = model
        self.image_size = model.image_size
        self._execution = execution
        encode: Callable[[Tensor], ImageEmbedding] = model.encode_image
        self._encode = torch.compile(encode) if execution.compiled else encode

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        """(B, 3, S, S) normalised frames -> their embedding, float32."""
        with self._precision():
            embedding = self._encode(images.to(self.device))
        return embedding.to(self.device, torch.float32)

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        """Masks for N objects on each of B images; True: tokens 1 to 3, False: token 0, None: all four."""
        with self._precision():
            answer = self.model.decode(embedding, prompts, multimask_output=multimask_output)
        return answer.to(torch.float32)

    def decode_confident(self, embedding: ImageEmbedding, prompts: Prompts, *, least_iou: float) -> ConfidentMasks:
        """Of three masks for each of N objects on one image those whose predicted IoU is above `least_iou`."""
        with self._precision():
            answer = self.model.decode_confident(embedding, prompts, least_iou=least_iou)
        return answer.to(torch.float32)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._execution.bf16)
