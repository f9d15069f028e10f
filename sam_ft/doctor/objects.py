"""From label maps and masks to the facts that are kept of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage

from sam_ft.doctor.seen import LabelFacts
from sam_ft.masks.areas import mask_areas
from sam_ft.types import Sample

_MOST_VALUES = 500
"""Values of one label map whose pieces are counted."""
_LEAST_PIECE_PX = 9
_LEAST_PIECE_SHARE = 0.05
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def facts_of_map(labels: np.ndarray) -> LabelFacts:
    """Of a label map (H, W) of integers, every value above 0 one object."""
    values, areas = np.unique(labels, return_counts=True)
    counted = {int(value): int(area) for value, area in zip(values, areas, strict=True) if value > 0}
    return LabelFacts(
        values=counted,
        pieces=_pieces(labels, list(counted)),
        areas=np.array(list(counted.values()), dtype=np.int64),
        longest=max(labels.shape),
    )


def facts_of_sample(sample: Sample) -> LabelFacts:
    """Of the masks of a sample."""
    areas = mask_areas(sample.masks).numpy()
    return LabelFacts(
        values={}, pieces={}, areas=areas, longest=max(sample.image.shape[:2]), class_names=sample.class_names
    )


def painted(sample: Sample) -> np.ndarray:
    """(H, W) int64: the number of each object from 1 on, the smallest on top."""
    labels = torch.zeros(sample.masks.shape[1:], dtype=torch.int64)
    for index in mask_areas(sample.masks).argsort(descending=True, stable=True).tolist():
        labels.masked_fill_(sample.masks[index], index + 1)
    return labels.numpy()


def _pieces(labels: np.ndarray, values: Sequence[int]) -> dict[int, int]:
    """Value -> its connected pieces that have 9 pixels, and 5 percent of its area, or more."""
    if not values:
        return {}
    places = np.searchsorted(values, labels).astype(np.int32) + 1
    places[labels == 0] = 0
    pieces = {}
    for number, box in enumerate(ndimage.find_objects(places, max_label=min(len(values), _MOST_VALUES)), start=1):
        if box is None:
            continue
        regions, count = ndimage.label(places[box] == number, structure=_EIGHT_NEIGHBOURS)
        sizes = np.bincount(regions.reshape(-1), minlength=count + 1)[1:]
        least = max(_LEAST_PIECE_PX, _LEAST_PIECE_SHARE * sizes.sum())
        pieces[int(values[number - 1])] = int((sizes >= least).sum())
    return pieces
