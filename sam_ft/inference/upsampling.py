"""From the decoder's logits to masks at the resolution of the image, in portions that fit the memory."""

from __future__ import annotations

import torch
from torch import Tensor

from sam_ft.transforms import Frame

_NUMBERS_AT_ONCE = 2**26
"""Of logits at the image's resolution (256 MiB)."""


def masks_at_source(low_res_logits: Tensor, frame: Frame) -> Tensor:
    """(..., h, w) logits of the frame -> (..., H, W) bool at the image's resolution: what is above 0.

    As `frame.logits_to_source(...) > 0`, without ever holding the logits of all masks.
    """
    logits = low_res_logits.flatten(0, -3) if low_res_logits.ndim > 2 else low_res_logits[None]  # (K, h, w)
    height, width = frame.source_size
    at_once = max(1, _NUMBERS_AT_ONCE // max(height * width, frame.image_size**2))
    masks = [frame.logits_to_source(some) > 0 for some in logits.split(at_once)]
    return torch.cat(masks).reshape(*low_res_logits.shape[:-2], height, width)
