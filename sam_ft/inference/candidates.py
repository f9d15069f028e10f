"""What a model finds in an image by itself, compared with the truth: proposals, and all that a score needs of them.

Compared is at the decoder's resolution, a quarter of the frame's. An object covers the cells of which it fills half;
one that fills no cell so far covers those that it fills most, so that none is lost. Annotations are taken to be
complete: a mask of something that nobody marked counts as wrong, but for one of which more than half lies where nobody
knows what there is. Cells that nobody knows are part of no mask when it is compared with an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_ft.data.collation import Prepare, PreparedSample, collate
from sam_ft.inference.evaluation_mode import evaluation_mode
from sam_ft.inference.proposals import (
    BOX_NMS_THRESH,
    PRED_IOU_THRESH,
    STABILITY_SCORE_THRESH,
    Filtered,
    passes,
    propose,
    ranked,
    sift,
)
from sam_ft.metrics.detection import Pair, detection_accuracy, greedy_pairs, mask_ious, num_counted, overlapping_pairs
from sam_ft.transforms import Frame
from sam_ft.types import PromptableModel, Sample

_OBJECTS_AT_ONCE = 16
"""So many masks of an image, which may have hundreds, are held as floats of the frame's size."""


@dataclass(frozen=True)
class Thresholds:
    """Two thresholds of a mask generator; the defaults are segment_anything's."""

    pred_iou_thresh: float = PRED_IOU_THRESH
    stability_score_thresh: float = STABILITY_SCORE_THRESH


@dataclass(frozen=True)
class Candidates:
    """The P proposals for one image, the highest predicted IoU first, and how they relate to its N objects."""

    image: str
    iou_predictions: Tensor  # (P,)
    stability_scores: Tensor  # (P,)
    has_pixels: Tensor  # (P,) bool
    excused: Tensor  # (P,) bool: not wrong if it matches nothing, since nobody knows what most of it shows
    suppresses: Tensor  # (P, P) bool: row would drop column
    pairs: tuple[Pair, ...]  # proposals and objects that overlap by half or more, the largest IoU first
    num_objects: int


@dataclass(frozen=True)
class Found:
    """What the thresholds leave in one image: how good that is, and what each filter removed."""

    score: float  # `detection_accuracy`
    filtered: Filtered


def candidates(
    model: PromptableModel, samples: Iterable[Sample], *, points_per_side: int = 16, points_per_batch: int = 64
) -> Iterator[Candidates]:
    """Propose masks for image after image, once; thresholds are applied later.

    Args:
        model: any promptable model; a module is in evaluation mode meanwhile.
        samples: images with all their objects; objects without a pixel do not count.
        points_per_side: points along each side of an image.
        points_per_batch: points in one call of the decoder.

    Yields:
        One for each sample, on the CPU.
    """
    prepare = Prepare(model.image_size)
    for sample in samples:
        yield candidates_of(model, prepare(sample), points_per_side=points_per_side, points_per_batch=points_per_batch)


def candidates_of(
    model: PromptableModel, prepared: PreparedSample, *, points_per_side: int = 16, points_per_batch: int = 64
) -> Candidates:
    """The same for one image that is in the model's frame, or whose embedding is known."""
    device = next(model.parameters()).device if isinstance(model, nn.Module) else torch.device("cpu")
    height, width = prepared.sample.image.shape[:2]
    frame = Frame((height, width), model.image_size)
    with evaluation_mode(model), torch.inference_mode():
        embedding = collate([prepared]).embedded(model.encode_image, device=device)
        proposals = propose(model, embedding, frame, points_per_side=points_per_side, points_per_batch=points_per_batch)
        order, suppresses = ranked(proposals, box_nms_thresh=BOX_NMS_THRESH)
        masks = proposals.masks[order]
        objects = _cells(prepared.masks.to(device), masks.shape[-1])
        unknown = _unknown_cells(prepared, objects)
        ious = mask_ious(masks if unknown is None else masks & ~unknown, objects)
    return Candidates(
        image=prepared.sample.name,
        iou_predictions=proposals.iou_predictions[order].cpu(),
        stability_scores=proposals.stability_scores[order].cpu(),
        has_pixels=masks.flatten(1).any(dim=1).cpu(),
        excused=_excused(masks, unknown).cpu(),
        suppresses=suppresses.cpu(),
        pairs=tuple(overlapping_pairs(ious.cpu())),
        num_objects=len(prepared.masks),
    )


def find(image: Candidates, thresholds: Thresholds) -> Found:
    """What one pair of thresholds leaves in one image."""
    passed = passes(image.iou_predictions, image.stability_scores, **vars(thresholds))
    stay, counts = sift(image.has_pixels, passed, image.suppresses)
    return Found(score_of(image, stay), counts)


def score_of(image: Candidates, stay: Tensor) -> float:
    """`detection_accuracy` of the proposals that stay, `(P,)` bool; those that are excused count if they match."""
    kept = stay.tolist()
    matched = greedy_pairs(pair for pair in image.pairs if kept[pair[1]])
    num_masks = num_counted(matched, excused=image.excused | ~stay)
    return detection_accuracy(matched, num_masks=num_masks, num_objects=image.num_objects)


def _unknown_cells(prepared: PreparedSample, objects: Tensor) -> Tensor | None:
    """(h, h) bool: cells that are unknown for the most part and in no object (N, h, h); None where none are ignored."""
    if prepared.ignored is None:
        return None
    unknown = prepared.ignored & ~prepared.masks.any(dim=0)  # (S, S)
    share = F.interpolate(unknown[None, None].float().to(objects.device), size=objects.shape[-2:], mode="area")[0, 0]
    return (share > 0.5) & ~objects.any(dim=0)


def _excused(masks: Tensor, unknown: Tensor | None) -> Tensor:
    """(P,) bool: of which masks `(P, h, h)` more than half lies in unknown cells, `(h, h)` bool."""
    if unknown is None:
        return torch.zeros(len(masks), dtype=torch.bool)
    inside = (masks & unknown).flatten(1).sum(dim=1)
    return 2 * inside > masks.flatten(1).sum(dim=1)


def _cells(masks: Tensor, size: int) -> Tensor:
    """(N, S, S) bool -> (N, size, size) bool: the cells of which an object fills half, or else the most."""
    if not len(masks):
        return masks.new_zeros(0, size, size)
    shares = [
        F.interpolate(few[None].float(), size=(size, size), mode="area")[0] for few in masks.split(_OBJECTS_AT_ONCE)
    ]
    share = torch.cat(shares)  # (N, size, size)
    return share >= share.amax(dim=(-2, -1), keepdim=True).clamp(max=0.5)
