"""How well a model knows how good its masks are: predicted against true IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CalibrationBin:
    """The masks whose predicted IoU lies in one interval."""

    count: int
    predicted: float  # their mean predicted IoU; 0 where there are none
    actual: float  # their mean true IoU; 0 where there are none


@dataclass(frozen=True)
class Calibration:
    """Predicted against true IoU.

    Attributes:
        bins: of equal width from 0 to 1.
        error: mean distance of a bin's predicted from its true IoU, weighed by its masks (the expected calibration
            error of Naeini et al. 2015, for a regression).
        bias: mean predicted minus mean true IoU: above 0, the model thinks too well of its masks.
    """

    bins: Sequence[CalibrationBin]
    error: float
    bias: float


def calibration(predicted: Tensor, actual: Tensor, *, num_bins: int = 10) -> Calibration:
    """Compare predicted with true IoU.

    Args:
        predicted: (K,), what the model thinks; values outside 0 to 1 count for the outermost bins.
        actual: (K,) in 0..1.
        num_bins: intervals from 0 to 1.

    Raises:
        ValueError: The lengths differ, or there is nothing to compare.
    """
    if predicted.shape != actual.shape or predicted.ndim != 1:
        raise ValueError(
            f"Expected `predicted` and `actual` (K,), but got {tuple(predicted.shape)} and {tuple(actual.shape)}."
        )
    if len(predicted) == 0:
        raise ValueError("Expected at least one mask to compare, but got none.")
    predicted, actual = predicted.double(), actual.double()
    places = (predicted * num_bins).long().clamp(0, num_bins - 1)
    counts = torch.bincount(places, minlength=num_bins)
    sums = [torch.bincount(places, weights=values, minlength=num_bins) for values in (predicted, actual)]
    mean_predicted, mean_actual = (each / counts.clamp(min=1) for each in sums)
    bins = [
        CalibrationBin(count=count, predicted=mean, actual=truth)
        for count, mean, truth in zip(counts.tolist(), mean_predicted.tolist(), mean_actual.tolist(), strict=True)
    ]
    error = float((counts * (mean_predicted - mean_actual).abs()).sum() / len(predicted))
    return Calibration(bins=tuple(bins), error=error, bias=float((predicted - actual).mean()))
