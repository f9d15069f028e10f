"""How far the figures of the automatic protocol may be off: images are drawn, and what they count added up anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sam_ft.evaluation.everything.automatic_image import ComparedImage
from sam_ft.metrics.average_precision import AP50, AP75, Matches
from sam_ft.metrics.bootstrap import LEAST_CLUSTERS, Interval, draws, percentile_interval, resampled_sums
from sam_ft.metrics.detection import IOU_THRESHOLDS
from sam_ft.metrics.resampled_precision import resampled_precisions

NUM_PRECISIONS = 1000
"""Resamples of average precision, which is no sum, so that each costs a walk over all masks."""


def headline_intervals(images: Sequence[ComparedImage], summary: dict[str, float]) -> dict[str, Interval]:
    """Of mSA, a mean over images, if there are enough; of AP and PQ and their parts, if enough hold an object.

    Args:
        images: what was counted.
        summary: the figures themselves.
    """
    if len(images) < LEAST_CLUSTERS:
        return {}
    accuracies = torch.tensor([[each.accuracy] for each in images], dtype=torch.float64)
    resampled = {"msa": resampled_sums(accuracies)[:, 0] / len(images)}
    if _enough_hold_objects([each.kept for each in images]):
        resampled |= _precisions(images) | _panoptic(images)
    return {name: percentile_interval(drawn, summary[name]) for name, drawn in resampled.items()}


def recall_intervals(images: Sequence[Matches], recalls: dict[int, float]) -> dict[int, Interval]:
    """Of AR@k, if enough images hold an object that counts.

    Args:
        images: of the proposals, of objects of one size.
        recalls: k -> AR@k.
    """
    if not _enough_hold_objects(images):
        return {}
    found = [[int(image.hits[:, :count].sum()) for count in recalls] for image in images]
    counts = [image.num_objects * len(IOU_THRESHOLDS) for image in images]
    columns = torch.cat([torch.tensor(found), torch.tensor(counts)[:, None]], dim=1)  # (C, counts + 1)
    sums = resampled_sums(columns)
    shares = (sums[:, :-1] / sums[:, -1:]).unbind(dim=1)
    return {
        count: percentile_interval(drawn, recall)
        for (count, recall), drawn in zip(recalls.items(), shares, strict=True)
    }


def _enough_hold_objects(images: Sequence[Matches]) -> bool:
    """Else few images stand for all objects, however many without any there are."""
    return sum(image.num_objects > 0 for image in images) >= LEAST_CLUSTERS


def _precisions(images: Sequence[ComparedImage]) -> dict[str, Tensor]:
    """AP, AP50 and AP75 of each resample: (R,) each."""
    drawn = draws(len(images), num_resamples=NUM_PRECISIONS)
    curves = resampled_precisions([each.kept for each in images], drawn)  # (R, T)
    return {"ap": curves.mean(dim=1), "ap50": curves[:, AP50], "ap75": curves[:, AP75]}


def _panoptic(images: Sequence[ComparedImage]) -> dict[str, Tensor]:
    """PQ, SQ and RQ of each resample, as `PanopticCounts` has them: (R,) each."""
    columns = [
        (each.iou_sum, each.true_positives, each.false_positives + each.false_negatives)
        for each in (image.panoptic for image in images)
    ]
    iou_sum, right, wrong = resampled_sums(torch.tensor(columns, dtype=torch.float64)).unbind(dim=1)
    nothing = ((right == 0) & (wrong == 0)).double()  # 1 where there is nothing to find and nothing else
    segmentation = torch.where(right > 0, iou_sum / right, nothing)
    recognition = torch.where(right + wrong > 0, right / (right + wrong / 2), 1.0)
    return {"pq": segmentation * recognition, "sq": segmentation, "rq": recognition}
