"""The decoding of `decode_64_prompts` by transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import SamModel


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    model = SamModel.from_pretrained(folder / "hugging_face").eval()
    given = {name: torch.from_numpy(array) for name, array in np.load(folder / "work.npz").items()}

    @torch.inference_mode()
    def decode() -> dict[str, np.ndarray]:
        answer = model(
            image_embeddings=given["features"], input_points=given["points"][None], input_labels=given["labels"][None]
        )
        return {"logits": answer.pred_masks[0].numpy(), "scores": answer.iou_scores[0].numpy()}

    return decode
