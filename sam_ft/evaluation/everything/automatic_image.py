"""What a model finds in one image by itself, compared with the image's objects at the source's resolution.

Two lists of masks are measured. The *proposals* are all masks that box suppression leaves, without thresholds, ranked
by the mean of predicted IoU and stability score, the best 1000 of them (Segment Anything, appendix D.3). The masks
that are *kept* are what the mask generator returns, ranked by predicted IoU. A mask without a pixel at the source's
resolution is none.

Masks are brought to the source a few at a time and counted at once, so that only the proposals at the decoder's
resolution and one label map are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sam_ft.checks import expect_number, expect_whole_number
from sam_ft.evaluation.everything.truth_maps import TruthMaps, ious_of, truth_maps
from sam_ft.inference.proposals import (
    BOX_NMS_THRESH,
    PRED_IOU_THRESH,
    STABILITY_SCORE_THRESH,
    Filtered,
    Proposals,
    select,
)
from sam_ft.metrics.average_precision import ALL_SIZES, SIZES, Detections, Matches, match
from sam_ft.metrics.detection import detection_accuracy, greedy_pairs, num_counted, overlapping_pairs
from sam_ft.metrics.panoptic import PanopticCounts, panoptic_counts
from sam_ft.types import Sample

MOST_PROPOSALS = 1000
_PIXELS_AT_ONCE = 1 << 24
"""So many floats of masks are made at once."""


@dataclass(frozen=True)
class GeneratorSettings:
    """The settings of a mask generator; the defaults are segment_anything's."""

    points_per_side: int = 32
    pred_iou_thresh: float = PRED_IOU_THRESH
    stability_score_thresh: float = STABILITY_SCORE_THRESH
    box_nms_thresh: float = BOX_NMS_THRESH

    def __post_init__(self) -> None:
        expect_whole_number("points_per_side", self.points_per_side, least=1)
        for name in ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh"):
            expect_number(name, getattr(self, name), least=0)


@dataclass(frozen=True)
class ObjectRecord:
    """One true object and the masks that come nearest to it."""

    image: str
    object_index: int
    class_name: str
    area_px: int
    best_kept_iou: float  # 0 where no mask is kept
    best_proposal_iou: float  # among proposals and kept masks; a mask may be kept and yet be no proposal
    predicted_iou: float | None  # of that mask
    stability_score: float | None


@dataclass(frozen=True)
class ComparedImage:
    """All that is counted of one image."""

    image: str
    accuracy: float  # `detection_accuracy` of the masks that are kept
    panoptic: PanopticCounts  # of the same; where they overlap, the one with the highest predicted IoU has the pixel
    kept: Matches
    proposals: Mapping[str, Matches]  # by size of the objects: "all", "small", "medium", "large"
    objects: tuple[ObjectRecord, ...]
    filtered: Filtered


def compare_image(
    proposals: Proposals, sample: Sample, settings: GeneratorSettings
) -> tuple[ComparedImage, np.ndarray]:
    """Filter the proposals for an image, and measure them.

    Pixels that nobody knows (`sample.unknown`) are taken out of every mask before its IoU, and a mask of which they
    are more than half is not wrong if it matches nothing. For average precision and recall alone they are a crowd
    instead, as COCO has it: they stay in a mask's area.

    Args:
        proposals: of the sample's image.
        sample: the image with all its objects.
        settings: of the mask generator; the points are those of the proposals.

    Returns:
        What is counted, and the kept masks as segments that do not overlap, (H, W) int32: 1 for the one with the
        highest predicted IoU, 0 where there is none.
    """
    truth = truth_maps(sample)
    kept = select(
        proposals,
        pred_iou_thresh=settings.pred_iou_thresh,
        stability_score_thresh=settings.stability_score_thresh,
        box_nms_thresh=settings.box_nms_thresh,
    )
    scores = (proposals.iou_predictions + proposals.stability_scores) / 2
    best = _best(proposals, scores, box_nms_thresh=settings.box_nms_thresh)
    numbers = torch.cat([kept.indices, best[~torch.isin(best, kept.indices)]])
    measured = _measured(proposals, numbers, truth, num_kept=len(kept.indices))
    is_kept = measured.has_pixels & (torch.arange(len(numbers)) < len(kept.indices))
    is_proposed = measured.has_pixels & torch.isin(numbers, best).cpu()
    proposed = measured.detections(is_proposed, scores[numbers].cpu())
    lost = len(kept.indices) - int(is_kept.sum())
    compared = ComparedImage(
        image=sample.name,
        accuracy=_accuracy(measured, is_kept),
        panoptic=_panoptic(measured.segments, truth, num_segments=len(kept.indices)),
        kept=match(measured.detections(is_kept, proposals.iou_predictions[numbers].cpu())),
        proposals={name: match(proposed, area_range=area_range) for name, area_range in _RANGES.items()},
        objects=_records(sample, proposals, measured, is_kept=is_kept),
        filtered=replace(kept.filtered, empty=kept.filtered.empty + lost, selected=kept.filtered.selected - lost),
    )
    return compared, measured.segments


_RANGES = {"all": ALL_SIZES, **SIZES}


@dataclass(frozen=True)
class _Measured:
    """M proposals at the source's resolution, the kept ones first, and how they overlap the N objects."""

    numbers: Tensor  # (M,) int64, which proposals
    areas: Tensor  # (M,) int64
    ious: Tensor  # (M, N) float64, of whole masks, as COCO has it
    known_ious: Tensor  # (M, N) float64, without the pixels that nobody knows
    ignored: Tensor  # (M,) float64, the share of each mask that nobody knows
    segments: np.ndarray  # (H, W) int32
    truth: TruthMaps

    @property
    def has_pixels(self) -> Tensor:
        """(M,) bool."""
        return self.areas > 0

    def detections(self, rows: Tensor, scores: Tensor) -> Detections:
        """Some of the masks, `rows` (M,) bool, with scores (M,); what is ignored is a crowd."""
        num_ignored = int(self.truth.ignored.sum())
        ious, areas = self.ious, torch.from_numpy(self.truth.areas)
        if num_ignored:
            ious = torch.cat([ious, self.ignored[:, None]], dim=1)
            areas = torch.cat([areas, torch.tensor([num_ignored])])
        is_crowd = torch.arange(len(areas)) >= len(self.truth.areas)
        return Detections(scores[rows], ious[rows], self.areas[rows], areas, is_crowd)


def _best(proposals: Proposals, scores: Tensor, *, box_nms_thresh: float) -> Tensor:
    """Which proposals are left without thresholds, the highest score first, 1000 at most."""
    left = select(proposals, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=box_nms_thresh).indices
    return left[scores[left].argsort(descending=True, stable=True)][:MOST_PROPOSALS]


def _measured(proposals: Proposals, numbers: Tensor, truth: TruthMaps, *, num_kept: int) -> _Measured:
    """Count the pixels of proposals one after the other; the first `num_kept` also become segments."""
    segments = np.zeros(truth.ignored.shape, dtype=np.int32)
    areas = np.zeros(len(numbers), dtype=np.int64)
    ignored = np.zeros(len(numbers), dtype=np.int64)
    shared = np.zeros((len(numbers), len(truth.areas)), dtype=np.int64)
    for row, mask in enumerate(_masks_at_source(proposals, numbers)):
        areas[row], ignored[row], shared[row] = np.count_nonzero(mask), truth.num_ignored(mask), truth.shared(mask)
        if row < num_kept:
            segments[mask & (segments == 0)] = row + 1
    return _Measured(
        numbers=numbers,
        areas=torch.from_numpy(areas),
        ious=torch.from_numpy(ious_of(shared, areas, truth.areas)),
        known_ious=torch.from_numpy(ious_of(shared, areas - ignored, truth.areas)),
        ignored=torch.from_numpy(ignored / np.maximum(areas, 1)),
        segments=segments,
        truth=truth,
    )


def _masks_at_source(proposals: Proposals, numbers: Tensor) -> Iterator[np.ndarray]:
    """(H, W) bool, mask after mask; a few are enlarged at once."""
    frame = proposals.frame
    height, width = frame.source_size
    at_once = max(1, _PIXELS_AT_ONCE // max(height * width, frame.image_size**2))
    for few in numbers.split(at_once):
        yield from (frame.logits_to_source(proposals.low_res_logits[few]) > 0).cpu().numpy()


def _accuracy(measured: _Measured, is_kept: Tensor) -> float:
    """`detection_accuracy`, without the masks that match nothing and lie mostly where nobody knows anything."""
    ious = measured.known_ious[is_kept]
    matched = greedy_pairs(overlapping_pairs(ious))
    num_masks = num_counted(matched, excused=measured.ignored[is_kept] > 0.5)
    return detection_accuracy(matched, num_masks=num_masks, num_objects=ious.shape[1])


def _panoptic(segments: np.ndarray, truth: TruthMaps, *, num_segments: int) -> PanopticCounts:
    """Counts of the segments that have a pixel; those that nobody knows count for no segment's area."""
    areas, unknown = truth.areas_of_segments(segments, num_segments=num_segments)
    ious, is_seen = truth.ious_of_segments(segments, num_segments=num_segments), areas > 0
    return panoptic_counts(torch.from_numpy(ious[is_seen]), excused=torch.from_numpy((2 * unknown > areas)[is_seen]))


def _records(sample: Sample, proposals: Proposals, measured: _Measured, *, is_kept: Tensor) -> tuple[ObjectRecord, ...]:
    """A row for each object."""
    of_kept = torch.where(is_kept[:, None], measured.known_ious, 0.0)  # (M, N)
    records = []
    for index, (name, area) in enumerate(zip(sample.class_names, measured.truth.areas.tolist(), strict=True)):
        nearest = int(measured.known_ious[:, index].argmax()) if measured.has_pixels.any() else None
        number = None if nearest is None else int(measured.numbers[nearest])
        records.append(
            ObjectRecord(
                image=sample.name,
                object_index=index,
                class_name=name,
                area_px=area,
                best_kept_iou=float(of_kept[:, index].amax()) if is_kept.any() else 0.0,
                best_proposal_iou=0.0 if nearest is None else float(measured.known_ious[nearest, index]),
                predicted_iou=None if number is None else float(proposals.iou_predictions[number]),
                stability_score=None if number is None else float(proposals.stability_scores[number]),
            )
        )
    return tuple(records)
