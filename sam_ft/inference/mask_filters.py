"""Which of the masks that were found are worth keeping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sam_ft.inference.crops import Crop
from sam_ft.inference.found_masks import FoundMasks, Removed
from sam_ft.inference.proposals import BOX_NMS_THRESH, PRED_IOU_THRESH, STABILITY_SCORE_THRESH
from sam_ft.inference.source_masks import boxes_xyxy
from sam_ft.masks.nms import box_nms
from sam_ft.masks.regions import remove_small_regions
from sam_ft.masks.rle import RunLengths, decode, encode
from sam_ft.masks.rle_placing import stacked, taken

_NEAR_EDGE_PX = 20.0
"""How near to the edge of a crop a mask ends that is taken to be cut off there (segment_anything, `utils/amg.py`)."""


@dataclass(frozen=True)
class MaskFilters:
    """The thresholds of a mask generator, by segment_anything's names.

    Attributes:
        pred_iou_thresh: the predicted IoU must be above it; 0 removes nothing.
        stability_score_thresh: the stability score must reach it; 0 removes nothing.
        box_nms_thresh: the IoU of two boxes of one crop above which the mask with the lower predicted IoU goes.
        crop_nms_thresh: the same of two crops, where the mask of the larger crop goes.
        min_mask_region_area: holes and islands of fewer pixels go; 0: none.
    """

    pred_iou_thresh: float = PRED_IOU_THRESH
    stability_score_thresh: float = STABILITY_SCORE_THRESH
    box_nms_thresh: float = BOX_NMS_THRESH
    crop_nms_thresh: float = 0.7
    min_mask_region_area: int = 0

    @property
    def least_iou(self) -> float:
        """What a predicted IoU has to exceed."""
        return self.pred_iou_thresh if self.pred_iou_thresh > 0 else -float("inf")

    def select(self, found: FoundMasks, *, num_crops: int) -> FoundMasks:
        """The masks that are kept, in segment_anything's order: the highest predicted IoU of each crop first.

        Args:
            found: in the order of crops and points.
            num_crops: how many crops were looked at.

        Source: segment_anything, `automatic_mask_generator.py`.
        """
        is_trusted = found.predicted_iou > self.least_iou
        found = found.take(is_trusted, pred_iou=int((~is_trusted).sum()))
        is_stable = (found.stability_score >= self.stability_score_thresh) | (self.stability_score_thresh <= 0)
        found = found.take(is_stable, stability_score=int((~is_stable).sum()))
        found = self._best_of_crops(found)
        if num_crops > 1:
            x0, y0, x1, y1 = found.crop_boxes.T
            areas = ((x1 - x0) * (y1 - y0)).astype(np.float32)
            stay = _without_overlap(found.boxes_xyxy, 1 / areas, threshold=self.crop_nms_thresh)
            found = found.take(stay, crop_nms=len(found) - len(stay))
        return self._without_small_regions(found) if self.min_mask_region_area > 0 else found

    def explained(self, removed: Removed) -> str:
        """What became of the proposals, a line for each filter that removed any."""
        reasons = {
            "pred_iou": f"predicted IoU of {self.pred_iou_thresh:g} or less",
            "stability_score": f"stability score below {self.stability_score_thresh:g}",
            "crop_edge": "cut off by the edge of a crop",
            "box_nms": f"box IoU above {self.box_nms_thresh:g} with a better mask",
            "crop_nms": f"box IoU above {self.crop_nms_thresh:g} with a mask of a smaller crop",
            "small_regions": "the same as another mask without holes and islands",
        }
        counts = {reason: getattr(removed, name) for name, reason in reasons.items()}
        lines = [f"{removed.proposals:>7,} proposals"]
        lines += [f"{-count:>7,} {reason}" for reason, count in counts.items() if count]
        return "\n".join([*lines, f"{removed.kept:>7,} masks"])

    def _best_of_crops(self, found: FoundMasks) -> FoundMasks:
        """Within each crop, of masks with nearly the same box the one that the model trusts most."""
        _, crop_of = np.unique(found.crop_boxes, axis=0, return_inverse=True)
        crop_of = crop_of.reshape(-1)
        stay = [np.zeros(0, dtype=np.int64)]
        for crop in dict.fromkeys(crop_of.tolist()):
            places = np.flatnonzero(crop_of == crop)
            boxes, scores = found.boxes_xyxy[places], found.predicted_iou[places]
            stay.append(places[_without_overlap(boxes, scores, threshold=self.box_nms_thresh)])
        indices = np.concatenate(stay)
        return found.take(indices, box_nms=len(found) - len(indices))

    def _without_small_regions(self, found: FoundMasks) -> FoundMasks:
        """Small holes filled and small islands removed; of masks with nearly the same box one that needed neither."""
        if not len(found):
            return found
        cleaned, is_changed = _cleaned(found.run_lengths, self.min_mask_region_area)
        boxes = boxes_xyxy(cleaned)
        threshold = max(self.box_nms_thresh, self.crop_nms_thresh)
        stay = _without_overlap(boxes, (~is_changed).astype(np.float32), threshold=threshold)
        boxes = np.where(is_changed[:, None], boxes, found.boxes_xyxy)
        return found.with_masks(cleaned, boxes).take(stay, small_regions=len(found) - len(stay))


def near_crop_edge(boxes_xyxy: np.ndarray, crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """Which masks end near an edge of their crop that is none of the image's.

    Args:
        boxes_xyxy: (K, 4), pixels of the image.
        crop: that they were found in.
        size: (height, width) of the image.

    Returns:
        (K,) bool.
    """
    height, width = size
    at_crop = np.abs(boxes_xyxy - np.array(crop.box)) <= _NEAR_EDGE_PX
    at_image = np.abs(boxes_xyxy - np.array([0, 0, width, height])) <= _NEAR_EDGE_PX
    near: np.ndarray = (at_crop & ~at_image).any(axis=1)
    return near


def _without_overlap(boxes: np.ndarray, scores: np.ndarray, *, threshold: float) -> np.ndarray:
    """The indices of the masks that stay, the best score first."""
    stay = box_nms(torch.from_numpy(boxes).float(), torch.from_numpy(scores), iou_threshold=threshold)
    return stay.numpy()


def _cleaned(run_lengths: RunLengths, area: int) -> tuple[RunLengths, np.ndarray]:
    """Masks without small holes and islands, and which of them had any."""
    parts, is_changed = [], np.zeros(len(run_lengths), dtype=np.bool_)
    for index in range(len(run_lengths)):
        own = taken(run_lengths, np.array([index]))
        mask, had_holes = remove_small_regions(decode(own)[0], area, "holes")
        mask, had_islands = remove_small_regions(mask, area, "islands")
        is_changed[index] = had_holes or had_islands
        parts.append(encode(mask) if is_changed[index] else own)
    return stacked(parts, size=run_lengths.size), is_changed
