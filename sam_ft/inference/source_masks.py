"""From the decoder's logits to run lengths at the image's resolution, for masks that are stable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sam_ft.masks.rle import RunLengths, boxes_xywh, encode
from sam_ft.masks.rle_placing import stacked
from sam_ft.masks.stability import stability_score
from sam_ft.transforms import Frame

_NUMBERS_AT_ONCE = {"cpu": 2**20, "cuda": 2**28}
"""Of logits at the image's resolution: what a processor's cache holds, what a GPU's memory has room for."""


@dataclass(frozen=True)
class SourceMasks:
    """Of K masks those that are stable.

    Attributes:
        run_lengths: of the L stable ones.
        boxes_xyxy: (L, 4) int64, first and last pixel; zeros for an empty mask.
        stability_score: (K,) float32, of all.
        is_stable: (K,) bool, L of them.
    """

    run_lengths: RunLengths
    boxes_xyxy: np.ndarray
    stability_score: np.ndarray
    is_stable: np.ndarray


def source_masks(
    low_res_logits: Tensor, frame: Frame, *, least_stability: float, stability_score_offset: float
) -> SourceMasks:
    """Masks at the image's resolution, some at a time.

    Args:
        low_res_logits: (K, h, w) of the frame.
        frame: how the image lies in it.
        least_stability: the stability score that a mask needs; 0: none is dropped.
        stability_score_offset: how far the threshold moves for it.

    Source: segment_anything, `automatic_mask_generator.py` (_process_batch).
    """
    height, width = frame.source_size
    numbers = _NUMBERS_AT_ONCE["cpu" if low_res_logits.device.type == "cpu" else "cuda"]
    scores, stable, runs = [np.zeros(0, dtype=np.float32)], [np.zeros(0, dtype=np.bool_)], []
    for some in low_res_logits.split(max(1, numbers // max(height * width, frame.image_size**2))):
        logits = frame.logits_to_source(some)  # (k, H, W)
        score = stability_score(logits, offset=stability_score_offset)
        is_stable = score >= least_stability
        if is_stable.any():
            runs.append(encode((logits[is_stable] > 0).numpy(force=True)))
        scores.append(score.numpy(force=True))
        stable.append(is_stable.numpy(force=True))
    run_lengths = stacked(runs, size=(height, width))
    return SourceMasks(run_lengths, boxes_xyxy(run_lengths), np.concatenate(scores), np.concatenate(stable))


def boxes_xyxy(run_lengths: RunLengths) -> np.ndarray:
    """(N, 4) int64, first and last pixel of each mask; zeros where it is empty."""
    boxes = boxes_xywh(run_lengths)
    boxes[:, 2:] = np.maximum(boxes[:, :2] + boxes[:, 2:] - 1, 0)
    return boxes
