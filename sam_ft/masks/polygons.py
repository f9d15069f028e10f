"""Polygons to masks, pixel for pixel as pycocotools draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sam_ft.masks.rle import RunLengths, run_lengths_of_changes, splits_of, union

_SCALE = 5  # the outline is followed in fifths of a pixel
_MOST_STEPS = 1 << 24  # of one object's outline
_PIECE = 1 << 18  # steps at once
_FARTHEST = 1e6


def run_lengths_of_polygons(polygons: Sequence[np.ndarray], *, size: tuple[int, int]) -> RunLengths:
    """One mask: the pixels inside any of the polygons of an object.

    Each outline is walked in steps of a fifth of a pixel; where it crosses the middle of a column, inside and outside
    change below. What lies outside the image is cut off. A part that is inside twice of one polygon is outside.

    Args:
        polygons: Of each the corners (K, 2), (x, y) in pixels, K of 3 or more.
        size: (height, width) of the mask.

    Raises:
        ValueError: No polygon, another shape, corners that are not finite or far away, or a huge outline.

    Source: pycocotools, `rleFrPoly` and `rleMerge`.
    """
    if not len(polygons):
        raise ValueError("Expected at least one polygon, but got none.")
    outlines = [_scaled(np.asarray(corners, dtype=np.float64)) for corners in polygons]
    if (total := sum(_num_steps(outline) for outline in outlines)) > _MOST_STEPS:
        raise ValueError(f"Expected the outline of an object to have {_MOST_STEPS} steps at most, but got {total}.")
    masks = [_run_lengths_of_outline(outline, size) for outline in outlines]
    if len(masks) == 1:
        return masks[0]
    counts = np.concatenate([mask.counts for mask in masks])
    return union(RunLengths(size, counts, splits_of(np.array([len(mask.counts) for mask in masks]))))


def _scaled(corners: np.ndarray) -> np.ndarray:
    """(K, 2) int64, in fifths of a pixel."""
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ValueError(f"Expected a polygon of 3 corners (x, y) or more, but got the shape {corners.shape}.")
    if (wrong := np.flatnonzero(~(np.abs(corners) <= _FARTHEST).all(axis=1))).size:
        raise ValueError(
            f"Expected corners of a polygon within {_FARTHEST:.0f} pixels, but got {corners[wrong[0]].tolist()}."
        )
    return np.trunc(_SCALE * corners + 0.5).astype(np.int64)


def _num_steps(corners: np.ndarray) -> int:
    """Of the closed outline, every edge with both its ends."""
    return int(np.abs(np.roll(corners, -1, axis=0) - corners).max(axis=1).sum()) + len(corners)


def _run_lengths_of_outline(corners: np.ndarray, size: tuple[int, int]) -> RunLengths:
    height, width = size
    found = []
    for columns, rows in _pieces(corners):
        crossed = np.flatnonzero(np.diff(columns))  # from a step to the next one
        column = np.minimum(columns[crossed], columns[crossed + 1])
        row = np.minimum(rows[crossed], rows[crossed + 1])
        x = (column + 0.5) / _SCALE - 0.5
        y = np.ceil(np.clip((row + 0.5) / _SCALE - 0.5, 0, height))
        at_middle = (x == np.floor(x)) & (x >= 0) & (x <= width - 1)
        found.append((x[at_middle] * height + y[at_middle]).astype(np.int64))
    changes, times = np.unique(np.concatenate(found), return_counts=True)
    return run_lengths_of_changes(changes[times % 2 == 1], size=size)  # two at one place cancel


def _pieces(corners: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Columns and rows of all steps along the outline, not too many at once; each piece begins with the last's end."""
    start, stop = corners, np.roll(corners, -1, axis=0)  # (K, 2)
    distance = np.abs(stop - start)
    steps = distance.max(axis=1)
    along_x = distance[:, 0] >= distance[:, 1]
    longer = np.where(along_x, 0, 1)
    edge = np.arange(len(corners))
    flipped = start[edge, longer] > stop[edge, longer]
    low = np.where(flipped[:, None], stop, start)
    high = np.where(flipped[:, None], start, stop)
    across = low[edge, 1 - longer]
    slope = (high[edge, 1 - longer] - across) / np.maximum(steps, 1)
    begins = splits_of(steps + 1)
    for first in range(0, int(begins[-1]), _PIECE):
        bounds = np.clip(begins, max(first - 1, 0), first + _PIECE)
        of = np.repeat(edge, np.diff(bounds))
        step = np.arange(bounds[0], bounds[-1]) - begins[of]
        step = np.where(flipped[of], steps[of] - step, step)
        main = low[edge, longer][of] + step
        other = np.trunc(across[of] + slope[of] * step + 0.5).astype(np.int64)
        yield np.where(along_x[of], main, other), np.where(along_x[of], other, main)
