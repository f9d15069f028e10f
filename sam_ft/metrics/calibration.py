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
    return calibration_of(bin_sums(predicted, actual, num_bins=num_bins))


def bin_sums(predicted: Tensor, actual: Tensor, *, num_bins: int = 10) -> Tensor:
    """What a calibration needs to know, to be added up over batches and processes.

    Args:
        predicted: (K,), what the model thinks; values outside 0 to 1 count for the outermost bins.
        actual: (K,) in 0..1.
        num_bins: intervals from 0 to 1.

    Returns:
        (3, num_bins) float64: for each bin the number of masks and the sums of their predicted and true IoU.
    """
    predicted, actual = predicted.double(), actual.double()
    places = (predicted * num_bins).long().clamp(0, num_bins - 1)
    weights = (torch.ones_like(predicted), predicted, actual)
    return torch.stack([torch.bincount(places, weights=each, minlength=num_bins) for each in weights])


def calibration_of(sums: Tensor) -> Calibration:
    """The calibration from what `bin_sums` gives, added up.

    Raises:
        ValueError: There is nothing to compare.
    """
    counts, predicted, actual = sums.double()
    total = float(counts.sum())
    if total == 0:
        raise ValueError("Expected at least one mask to compare, but got none.")
    means = [(each / counts.clamp(min=1)).tolist() for each in (predicted, actual)]
    bins = [
        CalibrationBin(count=int(count), predicted=mean, actual=truth)
        for count, mean, truth in zip(counts.tolist(), *means, strict=True)
    ]
    error = float((predicted - actual).abs().sum()) / total
    return Calibration(bins=tuple(bins), error=error, bias=float((predicted - actual).sum()) / total)
