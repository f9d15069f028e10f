"""Which classes are taken for which, pixel by pixel, and what follows from it."""

from __future__ import annotations

import torch
from torch import Tensor


def confusion_matrix(predicted: Tensor, truth: Tensor, *, num_classes: int) -> Tensor:
    """Count pixels by their true and their predicted class.

    Args:
        predicted: (...) int64 of 0 to K - 1.
        truth: (...) int64 of 0 to K - 1; pixels below 0 are not counted.
        num_classes: K.

    Returns:
        (K, K) int64: the rows are the true classes, the columns the predicted ones. Matrices of several images add up.

    Raises:
        ValueError: the shapes differ, or a class is out of range.
    """
    if predicted.shape != truth.shape:
        raise ValueError(
            f"Expected `predicted` and `truth` of one shape, but got {tuple(predicted.shape)} and {tuple(truth.shape)}."
        )
    known = truth >= 0
    truth, predicted = truth[known], predicted[known]
    for name, value in (("predicted", predicted), ("truth", truth)):
        if value.numel() and not 0 <= int(value.min()) <= int(value.max()) < num_classes:
            raise ValueError(
                f"Expected `{name}` of 0 to {num_classes - 1}, but got {int(value.min())} to {int(value.max())}."
            )
    return torch.bincount(truth * num_classes + predicted, minlength=num_classes**2).view(num_classes, num_classes)


def class_ious(confusion: Tensor) -> Tensor:
    """Intersection over union of each class over all counted pixels: (K, K) -> (K,) float64.

    NaN for a class that is neither there nor predicted anywhere.
    """
    counts = confusion.double()
    return counts.diagonal() / (counts.sum(dim=0) + counts.sum(dim=1) - counts.diagonal())


def mean_iou(confusion: Tensor) -> float:
    """The mean over the classes that occur in the truth.

    A class that occurs nowhere but is predicted somewhere has no part in the mean (its IoU would be 0 for a single
    wrong pixel); the pixels it has taken count against the classes that they are of.

    Raises:
        ValueError: no pixel was counted.
    """
    occurs = _expect_pixels(confusion).sum(dim=1) > 0
    return float(class_ious(confusion)[occurs].mean())


def pixel_accuracy(confusion: Tensor) -> float:
    """The share of the counted pixels whose class is right.

    Raises:
        ValueError: no pixel was counted.
    """
    counts = _expect_pixels(confusion).double()
    return float(counts.diagonal().sum() / counts.sum())


def _expect_pixels(confusion: Tensor) -> Tensor:
    if not confusion.any():
        raise ValueError("Expected at least one pixel of a known class to measure, but got none.")
    return confusion
