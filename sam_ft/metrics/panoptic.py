"""Panoptic quality of instances: how many are found, and how well those that are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.metrics.detection import greedy_pairs, overlapping_pairs


@dataclass(frozen=True)
class PanopticCounts:
    """What the qualities follow from; counts of several images add up."""

    iou_sum: float = 0.0  # over the true positives
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def __add__(self, other: PanopticCounts) -> PanopticCounts:
        return PanopticCounts(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    @property
    def panoptic_quality(self) -> float:
        """PQ, the product of the two others; 1 where there are neither segments nor objects."""
        return self.segmentation_quality * self.recognition_quality

    @property
    def segmentation_quality(self) -> float:
        """SQ, the mean IoU of what is found; 0 if nothing is, 1 where there is nothing to find and nothing else."""
        if self.true_positives:
            return self.iou_sum / self.true_positives
        return 0.0 if self.false_positives + self.false_negatives else 1.0

    @property
    def recognition_quality(self) -> float:
        """RQ, the F1 score of finding; 1 where there are neither segments nor objects."""
        total = self.true_positives + (self.false_positives + self.false_negatives) / 2
        return self.true_positives / total if total else 1.0


def panoptic_counts(ious: Tensor, *, excused: Tensor | None = None) -> PanopticCounts:
    """Match the segments of one image with its objects where the IoU is above 0.5.

    Of segments that do not overlap each other at most one matches an object. Objects may overlap: a segment that
    matches several counts for the one that it overlaps most.

    Args:
        ious: `(K, N)` of segments, which do not overlap, with objects.
        excused: `(K,)` bool: segments that are not wrong if they match nothing, such as those in a region whose
            objects are not marked; None: there are none.

    Source: Kirillov et al. 2019, "Panoptic Segmentation", equation 1.
    """
    num_segments, num_objects = ious.shape
    excused = torch.zeros(num_segments, dtype=torch.bool) if excused is None else excused
    pairs = greedy_pairs(pair for pair in overlapping_pairs(ious, least=0.5) if pair[0] > 0.5)
    matched = {segment for _, segment, _ in pairs}
    return PanopticCounts(
        iou_sum=sum(iou for iou, _, _ in pairs),
        true_positives=len(pairs),
        false_positives=sum(number not in matched for number in (~excused).nonzero().flatten().tolist()),
        false_negatives=num_objects - len(pairs),
    )
