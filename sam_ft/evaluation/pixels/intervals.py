"""How far IoUs over all pixels may be off: images are drawn, and their pixels added up anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sam_ft.metrics.bootstrap import (
    LEAST_CLUSTERS,
    Interval,
    interval_of_mean_of_ratios,
    percentile_interval,
    resampled_sums,
)
from sam_ft.metrics.confusion import class_ious, mean_iou, pixel_accuracy


@dataclass(frozen=True)
class ImagePixels:
    """The pixels of one image whose class is known, by class.

    Attributes:
        counts: (3, K) int64: those that are rightly of each class, those that are truly and those that are
            predicted to be; all that IoUs follow from.
        set_name: Of a mixture, the set of the image.
    """

    counts: Tensor
    set_name: str | None = None


def image_pixels(confusion: Tensor, set_name: str | None = None) -> ImagePixels:
    """From the confusion matrix (K, K) of an image."""
    return ImagePixels(torch.stack([confusion.diagonal(), confusion.sum(dim=1), confusion.sum(dim=0)]), set_name)


@dataclass(frozen=True)
class PixelIntervals:
    """The 95 % intervals of some images; empty for fewer than `LEAST_CLUSTERS` of them.

    Attributes:
        overall: Of `miou`, if so many images hold each class that counts, and of `pixel_accuracy`.
        classes: From the place of a class to that of its IoU, of the classes that so many images hold. A resample
            without a class counts neither for it nor for the mean.
    """

    overall: dict[str, Interval]
    classes: dict[int, Interval]


def pixel_intervals(images: Sequence[ImagePixels], confusion: Tensor) -> PixelIntervals:
    """The intervals of the figures that follow from the confusion matrix (K, K) of all these images."""
    if len(images) < LEAST_CLUSTERS or not confusion.any():
        return PixelIntervals({}, {})
    counts = torch.stack([each.counts for each in images])  # (C, 3, K)
    sums = resampled_sums(counts.flatten(1)).view(-1, *counts.shape[1:])  # (R, 3, K)
    right, truth, predicted = sums.unbind(dim=1)  # (R, K)
    ious = (right / (truth + predicted - right)).masked_fill(truth == 0, torch.nan)
    holding = (counts[:, 1] > 0).sum(dim=0)  # (K,) images
    held, counting = holding >= LEAST_CLUSTERS, holding > 0
    accuracy = right.sum(dim=1) / truth.sum(dim=1)
    overall = {"pixel_accuracy": percentile_interval(accuracy, pixel_accuracy(confusion))}
    if torch.equal(held, counting):
        overall["miou"] = interval_of_mean_of_ratios(ious[:, held].mean(dim=1), mean_iou(confusion))
    own = class_ious(confusion).tolist()
    return PixelIntervals(
        overall=overall,
        classes={k: percentile_interval(ious[:, k], own[k]) for k in held.nonzero().flatten().tolist()},
    )
