"""Everything that a model sees in an image: masks at a grid of points, and which of them are worth keeping.

`propose` runs the model, `select` filters what came out. They are apart, so that thresholds can be changed and
searched without running the model again. All happens at the decoder's resolution (a quarter of the frame's), which
is enough to choose masks; the chosen ones are brought to the source by `Frame.logits_to_source`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.checks import expect_whole_number
from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.masks.nms import suppression, survivors
from sam_ft.masks.stability import stability_score
from sam_ft.transforms import Frame
from sam_ft.types import FOREGROUND, ImageEmbedding, PromptableModel, Prompts

PRED_IOU_THRESH, STABILITY_SCORE_THRESH, BOX_NMS_THRESH = 0.88, 0.95, 0.7
"""The thresholds of segment_anything's SamAutomaticMaskGenerator."""


@dataclass(frozen=True)
class Proposals:
    """P masks that a model proposes for one image, three for each point."""

    frame: Frame
    points_xy: Tensor  # (P, 2) pixels of the frame
    low_res_logits: Tensor  # (P, h, w) of the whole frame, the padding too
    iou_predictions: Tensor  # (P,)
    stability_scores: Tensor  # (P,)
    boxes_xyxy: Tensor  # (P, 4) first and last pixel of the frame; zeros for an empty mask

    @property
    def masks(self) -> Tensor:
        """(P, h, w) bool, at the decoder's resolution; False in the padding."""
        height, width = _image_part(self.frame, self.low_res_logits.shape[-1])
        masks = self.low_res_logits > 0
        masks[..., height:, :] = False
        masks[..., width:] = False
        return masks


@dataclass(frozen=True)
class Filtered:
    """How many proposals there were, how many each filter removed, one after the other, and how many are left."""

    proposals: int
    empty: int  # masks without a pixel
    pred_iou: int
    stability_score: int
    overlap: int  # their box overlaps that of a better one
    selected: int

    def __add__(self, other: Filtered) -> Filtered:
        return Filtered(**{name: count + getattr(other, name) for name, count in vars(self).items()})


@dataclass(frozen=True)
class Selection:
    """Which proposals are kept, and what became of the others."""

    indices: Tensor  # (K,) int64, the highest predicted IoU first
    filtered: Filtered


@torch.inference_mode()
def propose(
    model: PromptableModel,
    embedding: ImageEmbedding,
    frame: Frame,
    *,
    points_per_side: int = 32,
    points_per_batch: int = 64,
) -> Proposals:
    """Ask for the object at each point of a regular grid.

    Args:
        model: any promptable model, in evaluation mode.
        embedding: of one image.
        frame: how that image lies in the model's frame.
        points_per_side: points along each side of the image.
        points_per_batch: points in one call of the decoder, a bound on memory.

    Returns:
        Three masks for each point, point by point, on the embedding's device.

    Raises:
        ValueError: the embedding is of several images, or a number is below 1.
    """
    if embedding.features.shape[0] != 1:
        raise ValueError(f"Expected the embedding of one image, but got one of {embedding.features.shape[0]} images.")
    expect_whole_number("points_per_batch", points_per_batch, least=1)
    points = point_grid(frame, points_per_side).to(embedding.features.device)  # (n * n, 2)
    logits, predicted = [], []
    for asked in points.split(points_per_batch):
        labels = torch.full((1, len(asked), 1), FOREGROUND, device=asked.device)
        answer = model.decode(embedding, Prompts(points=asked[None, :, None], labels=labels), multimask_output=True)
        logits.append(answer.low_res_logits[0].flatten(0, 1).float())  # (n * 3, h, w)
        predicted.append(answer.iou_predictions[0].flatten().float())
    low_res_logits = torch.cat(logits)  # (P, h, w)
    return _measured(frame, points.repeat_interleave(len(low_res_logits) // len(points), 0), low_res_logits, predicted)


def point_grid(frame: Frame, points_per_side: int) -> Tensor:
    """The middles of `points_per_side` x `points_per_side` equal parts of the image, row by row.

    Returns:
        (n * n, 2) float32, pixels of the frame.

    Raises:
        ValueError: `points_per_side` is below 1.

    Source: segment_anything, `utils/amg.py` (build_point_grid).
    """
    expect_whole_number("points_per_side", points_per_side, least=1)
    places = (torch.arange(points_per_side) + 0.5) / points_per_side
    height, width = frame.input_size
    y, x = torch.meshgrid(places * height - 0.5, places * width - 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)  # (n * n, 2)


def select(
    proposals: Proposals,
    *,
    pred_iou_thresh: float = PRED_IOU_THRESH,
    stability_score_thresh: float = STABILITY_SCORE_THRESH,
    box_nms_thresh: float = BOX_NMS_THRESH,
) -> Selection:
    """The proposals that a mask generator would return.

    One after the other go: masks without a pixel, those that the model itself does not trust, unstable ones, and
    those whose box overlaps that of a proposal with a higher predicted IoU.

    Args:
        proposals: of one image.
        pred_iou_thresh: the predicted IoU must be above it; 0 removes nothing.
        stability_score_thresh: the stability score must reach it; 0 removes nothing.
        box_nms_thresh: the IoU of two boxes above which the worse one goes.

    Source: segment_anything, `automatic_mask_generator.py` (_process_batch, _process_crop).
    """
    order, suppresses = ranked(proposals, box_nms_thresh=box_nms_thresh)
    passed = passes(
        proposals.iou_predictions[order],
        proposals.stability_scores[order],
        pred_iou_thresh=pred_iou_thresh,
        stability_score_thresh=stability_score_thresh,
    )
    has_pixels = proposals.masks.flatten(1).any(dim=1)[order]
    stay, counts = sift(has_pixels, passed, suppresses)
    return Selection(indices=order[stay], filtered=counts)


def sift(has_pixels: Tensor, passed: tuple[Tensor, Tensor], suppresses: Tensor) -> tuple[Tensor, Filtered]:
    """The filters one after the other, on proposals in the order of `ranked`.

    Args:
        has_pixels: `(P,)` bool.
        passed: what `passes` gives.
        suppresses: `(P, P)` bool, what `ranked` gives.

    Returns:
        Which proposals stay, `(P,)` bool, and what each filter removed.
    """
    trusted = has_pixels & passed[0]
    stable = trusted & passed[1]
    stay = survivors(stable, suppresses)
    stages = [torch.ones_like(stay), has_pixels, trusted, stable, stay]
    return stay, filtered(torch.stack([stage.sum() for stage in stages]))


def ranked(proposals: Proposals, *, box_nms_thresh: float = BOX_NMS_THRESH) -> tuple[Tensor, Tensor]:
    """The order of the proposals by predicted IoU, `(P,)`, and in it which would suppress which, `(P, P)` bool."""
    order = proposals.iou_predictions.argsort(descending=True, stable=True)  # (P,)
    return order, suppression(proposals.boxes_xyxy[order], iou_threshold=box_nms_thresh)


def passes(
    iou_predictions: Tensor, stability_scores: Tensor, *, pred_iou_thresh: float, stability_score_thresh: float
) -> tuple[Tensor, Tensor]:
    """Which proposals pass each threshold, by segment_anything's rules: above the one, at least the other; 0: all.

    Args:
        iou_predictions: `(P,)`.
        stability_scores: `(P,)`.
        pred_iou_thresh: of the predicted IoU.
        stability_score_thresh: of the stability score.

    Returns:
        Two tensors `(P,)` of bool.
    """
    by_iou = (iou_predictions > pred_iou_thresh) | (pred_iou_thresh <= 0)
    return by_iou, (stability_scores >= stability_score_thresh) | (stability_score_thresh <= 0)


def filtered(left: Tensor) -> Filtered:
    """From how many are left at first and after each filter, `(5,)`, to how many each one removed."""
    proposals, full, trusted, stable, selected = left.tolist()
    return Filtered(proposals, proposals - full, full - trusted, trusted - stable, stable - selected, selected)


def _measured(frame: Frame, points_xy: Tensor, low_res_logits: Tensor, predicted: list[Tensor]) -> Proposals:
    """Proposals with the stability scores and boxes of their masks inside the image."""
    height, width = _image_part(frame, low_res_logits.shape[-1])
    inside = low_res_logits[..., :height, :width]
    stride = frame.image_size / low_res_logits.shape[-1]
    masks = inside > 0
    first, last = boxes_of_masks(masks).split(2, dim=-1)
    boxes = torch.cat([first * stride, (last + 1) * stride - 1], dim=-1)  # (P, 4)
    return Proposals(
        frame=frame,
        points_xy=points_xy,
        low_res_logits=low_res_logits,
        iou_predictions=torch.cat(predicted),
        stability_scores=stability_score(inside),
        boxes_xyxy=boxes * masks.flatten(1).any(dim=1, keepdim=True),
    )


def _image_part(frame: Frame, size: int) -> tuple[int, int]:
    """How many rows and columns of a `size` x `size` map of the frame show the image, begun ones included."""
    height, width = (math.ceil(length * size / frame.image_size) for length in frame.input_size)
    return height, width
