"""The two thresholds of the mask generator, fitted to a model: fine-tuning moves what a model thinks of its masks.

segment_anything's thresholds (0.88 and 0.95) suit segment_anything's weights. A fine-tuned model is often less sure,
and then the generator returns few masks or none though the masks are good. Here the model proposes masks for
validation images once, and thresholds on a grid are tried on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path

import torch
from torch import Tensor

from sam_ft.files import write_json
from sam_ft.inference.candidates import Candidates, Found, Thresholds, find, score_of
from sam_ft.inference.proposals import BOX_NMS_THRESH, Filtered, passes
from sam_ft.masks.nms import survivors

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
"""Of the observed scores; denser where only few proposals are left."""

SCORE = "mean over images and over IoU 0.50:0.05:0.95 of TP / (TP + FP + FN)"


@dataclass(frozen=True)
class Trial:
    """One pair of thresholds on all images."""

    thresholds: Thresholds
    score: float
    filtered: Filtered  # summed over the images


@dataclass(frozen=True)
class ThresholdFit:
    """The best thresholds, and segment_anything's beside them, on the same images."""

    best: Trial
    defaults: Trial
    num_images: int
    num_objects: int

    def write(self, path: str | Path) -> None:
        """Write `thresholds.json`."""
        write_json(
            path,
            {
                **_as_json(self.best),
                "box_nms_thresh": BOX_NMS_THRESH,
                "num_images": self.num_images,
                "num_objects": self.num_objects,
                "defaults": _as_json(self.defaults),
                "score_is": SCORE,
            },
        )


def fit_thresholds(images: Sequence[Candidates]) -> ThresholdFit:
    """The thresholds that give the best score on these images.

    Tried are all pairs of quantiles of the observed scores, no threshold at all and segment_anything's own. Of equally
    good pairs the one nearest to segment_anything's is taken; so thresholds that find nothing better stay as they are.

    Args:
        images: the proposals for each image.

    Raises:
        ValueError: there are no images, or none of them has an object.
    """
    num_objects = sum(image.num_objects for image in images)
    if not num_objects:
        raise ValueError(f"Expected at least one object to fit thresholds to, but got none in {len(images)} images.")
    defaults = Thresholds()
    by_iou = _grid(torch.cat([each.iou_predictions[each.has_pixels] for each in images]), defaults.pred_iou_thresh)
    by_stability = _grid(
        torch.cat([each.stability_scores[each.has_pixels] for each in images]), defaults.stability_score_thresh
    )
    pairs = [Thresholds(first, second) for first in by_iou for second in by_stability]
    totals = [sum(scores) for scores in zip(*(_scores(image, pairs) for image in images), strict=True)]
    best = max(range(len(pairs)), key=lambda index: (totals[index], -_distance(pairs[index], defaults)))
    return ThresholdFit(
        best=trial(images, pairs[best]),
        defaults=trial(images, defaults),
        num_images=len(images),
        num_objects=num_objects,
    )


def trial(images: Sequence[Candidates], thresholds: Thresholds) -> Trial:
    """What a pair of thresholds gives on all images, of which there is at least one."""
    found: list[Found] = [find(image, thresholds) for image in images]
    return Trial(
        thresholds=thresholds,
        score=sum(each.score for each in found) / len(found),
        filtered=reduce(add, (each.filtered for each in found)),
    )


def describe(fitted: ThresholdFit) -> str:
    """What came out in one line, and with it why segment_anything's thresholds may leave nothing."""
    best, defaults = fitted.best, fitted.defaults
    words = f"{best.thresholds.pred_iou_thresh:g}, stability_score_thresh {best.thresholds.stability_score_thresh:g}"
    line = f"Mask generator, fitted to {fitted.num_images} images: pred_iou_thresh {words}: score {best.score:.3f}"
    if best.thresholds == defaults.thresholds:
        return f"{line}; these are SAM's own, nothing does better."
    counts = defaults.filtered
    return (
        f"{line}. SAM's own {defaults.thresholds.pred_iou_thresh:g}, {defaults.thresholds.stability_score_thresh:g}: "
        f"{defaults.score:.3f}; of {counts.proposals} masks ({counts.empty} empty) they drop {counts.pred_iou} by "
        f"predicted IoU, {counts.stability_score} by stability and {counts.overlap} by overlap, and keep "
        f"{counts.selected}."
    )


def _grid(scores: Tensor, default: float) -> list[float]:
    """The thresholds to try, rounded down to four places, so that the written number gives the same masks."""
    quantiles = torch.quantile(scores.double(), torch.tensor(QUANTILES).double()).tolist() if len(scores) else []
    return sorted({0.0, default, *(max(math.floor(value * 1e4) / 1e4, 0.0) for value in quantiles)})


def _scores(image: Candidates, pairs: Sequence[Thresholds]) -> list[float]:
    """The score of every pair of thresholds on one image; suppression is decided for all of them at once."""
    passed = [passes(image.iou_predictions, image.stability_scores, **vars(pair)) for pair in pairs]
    eligible = torch.stack([image.has_pixels & first & second for first, second in passed])  # (G, P)
    different, places = eligible.unique(dim=0, return_inverse=True)
    scores = [score_of(image, stay) for stay in survivors(different, image.suppresses)]
    return [scores[place] for place in places.tolist()]


def _distance(pair: Thresholds, other: Thresholds) -> float:
    first = abs(pair.pred_iou_thresh - other.pred_iou_thresh)
    return first + abs(pair.stability_score_thresh - other.stability_score_thresh)


def _as_json(done: Trial) -> dict[str, object]:
    return {**asdict(done.thresholds), "score": done.score, "masks": asdict(done.filtered)}
