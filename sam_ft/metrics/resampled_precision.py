"""COCO's average precision of many resamples of the images, for its bootstrap interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sam_ft.metrics.average_precision import RECALLS, Matches


@dataclass(frozen=True)
class _Threshold:
    """What is right and what is excused at one IoU among the K masks of all images, the best score first."""

    hits: np.ndarray  # (J,) places
    excused: np.ndarray  # (L,) places
    num_excused: np.ndarray  # (J,): how many of these stand before each hit


def resampled_precisions(images: Sequence[Matches], drawn: Iterable[Tensor], *, max_detections: int = 100) -> Tensor:
    """The mean over recalls of `precision_curves`, had each image been there as often as it was drawn.

    An image that is drawn three times counts as three images with the same masks and scores. Masks are sorted once;
    a resample is a walk over those that are right, since precision falls at all others.

    Args:
        images: of one class, or of all as one.
        drawn: portions `(r, C)` of R rows, as `sam_ft.metrics.bootstrap.draws` gives them.
        max_detections: as there.

    Returns:
        (R, T) float64, a column for each threshold; NaN where no object is drawn.
    """
    counts = [min(len(image.scores), max_detections) for image in images]
    order = torch.cat([image.scores[:max_detections] for image in images]).argsort(descending=True, stable=True)
    image_of = np.repeat(np.arange(len(images)), counts)[order.numpy()]  # (K,)
    hits, excused = (
        torch.cat([part[:, :max_detections] for part in parts], dim=1)[:, order].numpy()
        for parts in ([image.hits for image in images], [image.excused for image in images])
    )
    thresholds = [_threshold(*rows) for rows in zip(hits, excused, strict=True)]
    num_objects = np.array([image.num_objects for image in images], dtype=np.float64)
    rows = (times for portion in drawn for times in portion.numpy())
    return torch.from_numpy(np.stack([_precisions(times, image_of, thresholds, num_objects) for times in rows]))


def _threshold(hits: np.ndarray, excused: np.ndarray) -> _Threshold:
    places, left_out = np.flatnonzero(hits), np.flatnonzero(excused)
    return _Threshold(places, left_out, np.searchsorted(left_out, places))


def _precisions(
    times: np.ndarray, image_of: np.ndarray, thresholds: Sequence[_Threshold], num_objects: np.ndarray
) -> np.ndarray:
    """(T,) of one resample, in which image c is `times` (C,) times."""
    total = times @ num_objects
    if not total:
        return np.full(len(thresholds), np.nan)
    weights = times[image_of]  # (K,)
    until = weights.cumsum()
    found = np.zeros(len(thresholds))
    for place, threshold in enumerate(thresholds):
        right = weights[threshold.hits].cumsum()  # (J,)
        given = until[threshold.hits]
        if len(threshold.excused):
            left_out = np.concatenate([[0.0], weights[threshold.excused].cumsum()])
            given = given - left_out[threshold.num_excused]
        precision = right / np.maximum(given, 1)
        best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        found[place] = best[np.searchsorted(right / total, RECALLS)].mean()
    return found
