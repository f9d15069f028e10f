"""From objects to one class for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sam_ft.data.classes import expect_known_classes
from sam_ft.masks.areas import mask_areas
from sam_ft.types import Batch, Sample

IGNORED = -1
"""A pixel whose class nobody knows: it is neither taught nor measured."""


def class_map(sample: Sample, class_names: Sequence[str]) -> Tensor:
    """The class of each pixel of the source: (H, W) int64, an index into `class_names`, or `IGNORED`.

    What belongs to no object is of the first class, the background; a pixel of several objects is of the smallest.
    Where an object lies the class is known, though `Sample.ignored` has the pixel.

    Raises:
        ValueError: an object is of none of the classes.
    """
    return _painted(sample.masks, sample, class_names, unknown=sample.unknown)


def class_maps(batch: Batch, class_names: Sequence[str]) -> Tensor:
    """The same in the model's frame: (B, S, S) int64 on the batch's device; the padding counts as background.

    Of padded images, beyond the samples, no pixel is known.

    Raises:
        ValueError: an object is of none of the classes.
    """
    size = batch.masks.shape[-2:]
    maps = torch.full((len(batch.masks), *size), IGNORED, dtype=torch.int64, device=batch.masks.device)
    for row, sample in enumerate(batch.samples):
        masks = batch.masks[row, : len(sample.class_names)]
        unknown = None if batch.ignored is None else batch.ignored[row] & ~masks.any(dim=0)
        maps[row] = _painted(masks, sample, class_names, unknown=unknown)
    return maps


def _painted(masks: Tensor, sample: Sample, class_names: Sequence[str], *, unknown: Tensor | None) -> Tensor:
    """The objects painted over each other, the largest first: (N, h, w) bool -> (h, w) int64."""
    expect_known_classes(sample.class_names, class_names, where=sample.name)
    numbers = [class_names.index(name) for name in sample.class_names]
    painted = torch.zeros(masks.shape[1:], dtype=torch.int64, device=masks.device)
    for index in mask_areas(masks).argsort(descending=True, stable=True).tolist():
        painted.masked_fill_(masks[index], numbers[index])
    return painted if unknown is None else painted.masked_fill(unknown, IGNORED)
