"""Holes and islands of masks."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np


def remove_small_regions(
    mask: np.ndarray, area_thresh: float, mode: Literal["holes", "islands"]
) -> tuple[np.ndarray, bool]:
    """A mask without its small holes or without its small parts; pixels that touch at a corner belong together.

    Args:
        mask: `(H, W)` bool.
        area_thresh: how many pixels a hole or a part must have to stay; of parts that are all smaller the largest does.
        mode: what to remove.

    Returns:
        The mask, and whether anything was removed.

    Source: segment_anything, `utils/amg.py` (remove_small_regions).
    """
    is_hole = mode == "holes"
    num_regions, regions, stats, _ = cv2.connectedComponentsWithStats((mask ^ is_hole).astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # region 0 is what lies around the regions
    is_small = areas < area_thresh
    if not is_small.any():
        return mask, False
    if not is_hole and is_small.all():
        is_small[areas.argmax()] = False
    is_filled = np.zeros(num_regions, dtype=np.bool_)
    is_filled[0] = is_hole
    is_filled[1:] = is_small if is_hole else ~is_small
    return is_filled[regions], True
