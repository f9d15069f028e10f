"""The decoding of `decode_64_prompts` by segment_anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision_stand_in

torchvision_stand_in.install()

from segment_anything import sam_model_registry  # noqa: E402


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    sam = sam_model_registry["vit_b"](checkpoint=str(folder / "sam.pth"))
    given = {name: torch.from_numpy(array) for name, array in np.load(folder / "work.npz").items()}

    @torch.inference_mode()
    def decode() -> dict[str, np.ndarray]:
        sparse, dense = sam.prompt_encoder(points=(given["points"], given["labels"]), boxes=None, masks=None)
        logits, scores = sam.mask_decoder(
            image_embeddings=given["features"],
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return {"logits": logits.numpy(), "scores": scores.numpy()}

    return decode
