"""Label maps of instances: which numbers they may hold, and the masks of their objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam_ft.masks.room import expect_room

MOST_LABEL = 2**32 - 1
"""The largest number of an object or a class; beyond it a file holds measurements, or is damaged."""


def as_label_map(labels: np.ndarray, *, path: Path) -> np.ndarray:
    """The numbers of a file as (H, W) integers: 0 is background.

    Raises:
        ValueError: Several channels, no pixels, fractions, NaN, or numbers below 0 or beyond 32 bits; `path` is named.
    """
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"Expected one channel of object numbers in {path}, but its shape is {labels.shape}.")
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if not (labels == np.rint(labels)).all():
        raise ValueError(f"Expected whole object numbers in {path}, but got {labels.dtype} with fractions.")
    for found in (labels.min(), labels.max()):
        if not 0 <= found <= MOST_LABEL:
            raise ValueError(
                f"Expected object numbers of 0 (background) and above in {path}, up to {MOST_LABEL}, but got {found}."
            )
    return labels if np.issubdtype(labels.dtype, np.integer) else labels.astype(np.int64)


def object_values(labels: np.ndarray, *, min_area_px: int) -> np.ndarray:
    """(N,) the numbers of the objects in a label map that have at least this area."""
    values, areas = np.unique(labels, return_counts=True)
    return values[(values != 0) & (areas >= min_area_px)]


def masks_of_values(labels: np.ndarray, values: np.ndarray, *, path: Path) -> np.ndarray:
    """(N, H, W) bool: where a label map (H, W) has each of N values.

    Raises:
        ValueError: There are too many for any memory; `path` is named.
    """
    expect_room(len(values), size=labels.shape, path=path)
    return labels == values[:, None, None]
