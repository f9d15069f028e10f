"""Masks as the records that segment_anything's generator returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from sam_ft.inference.found_masks import FoundMasks
from sam_ft.masks.rle import areas, decode
from sam_ft.masks.rle_coco import to_coco

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")


def records_of(found: FoundMasks, *, output_mode: str) -> list[dict[str, Any]]:
    """A dictionary for each mask, whose numbers JSON can hold.

    Args:
        found: the masks.
        output_mode: what `segmentation` is: "binary_mask": (H, W) bool; "uncompressed_rle": COCO's with a list of
            counts; "coco_rle": with a compressed string.
    """
    segmentations: list[Any] = (
        list(decode(found.run_lengths))
        if output_mode == "binary_mask"
        else to_coco(found.run_lengths, compress=output_mode == "coco_rle")
    )
    columns = zip(
        segmentations,
        areas(found.run_lengths).tolist(),
        _xywh(found.boxes_xyxy),
        found.predicted_iou.tolist(),
        found.points_xy.tolist(),
        found.stability_score.tolist(),
        _xywh(found.crop_boxes),
        strict=True,
    )
    return [
        {
            "segmentation": segmentation,
            "area": area,
            "bbox": box,
            "predicted_iou": predicted_iou,
            "point_coords": [point],
            "stability_score": stability_score,
            "crop_box": crop_box,
        }
        for segmentation, area, box, predicted_iou, point, stability_score, crop_box in columns
    ]


def _xywh(boxes: np.ndarray) -> list[list[int]]:
    """[x, y, w, h], the width from the first to the last pixel as segment_anything has it: 0 for a single column."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
