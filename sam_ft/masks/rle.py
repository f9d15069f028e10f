"""Masks as run lengths, as COCO keeps them: from masks and back, areas and boxes, without a loop over pixels or runs.

The pixels are counted column by column. A mask's runs take turns, background first, of 0 pixels where the first pixel
belongs to the object. Source: Lin et al., "Microsoft COCO" (2014); results equal those of pycocotools.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_CHUNK_PIXELS = 1 << 18  # masks that are encoded at once stay in the processor's cache


@dataclass(frozen=True, eq=False)
class RunLengths:
    """The runs of N masks of one size, mask after mask.

    Attributes:
        size: (height, width) of the masks.
        counts: (R,) int64, all runs.
        splits: (N + 1,) int64; the runs of mask n are `counts[splits[n]:splits[n + 1]]`, one at least.

    Raises:
        ValueError: Counts or splits of another type, a negative count, or runs of a mask that do not sum to its
            number of pixels.
    """

    size: tuple[int, int]
    counts: np.ndarray
    splits: np.ndarray

    def __post_init__(self) -> None:
        for name in ("counts", "splits"):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != np.int64:
                raise ValueError(f"Expected `{name}` to be a vector of int64, but got {array!r}.")
        height, width = self.size
        if not (type(height) is int and type(width) is int and height >= 0 and width >= 0):
            raise ValueError(f"Expected `size` (height, width) of whole numbers from 0, but got {self.size!r}.")
        splits = self.splits
        if not len(splits) or splits[0] != 0 or splits[-1] != len(self.counts) or (np.diff(splits) < 1).any():
            raise ValueError(f"Expected `splits` to rise from 0 to {len(self.counts)}, but got {splits}.")
        wrong = np.flatnonzero((self.counts < 0) | (self.counts > height * width))
        if wrong.size:
            mask = int(np.searchsorted(splits, wrong[0], side="right")) - 1
            raise ValueError(
                f"Expected runs of 0 to {height * width} pixels, but got one of {self.counts[wrong[0]]} in mask {mask}."
            )
        sums = np.add.reduceat(self.counts, splits[:-1])
        if (wrong := np.flatnonzero(sums != height * width)).size:
            raise ValueError(
                f"Expected runs of {height} x {width} = {height * width} pixels together, "
                f"but those of mask {wrong[0]} have {sums[wrong[0]]}."
            )

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, index: int) -> RunLengths:
        """Mask `index` alone."""
        if not 0 <= index < len(self):
            raise IndexError(f"Expected the index of one of {len(self)} masks, but got {index}.")
        counts = self.counts[self.splits[index] : self.splits[index + 1]]
        return RunLengths(self.size, counts, np.array([0, len(counts)]))

    def __iter__(self) -> Iterator[RunLengths]:
        return (self[index] for index in range(len(self)))


def encode(masks: np.ndarray) -> RunLengths:
    """The run lengths of masks.

    Which pixels differ from the one before is found row by row, as they lie in memory; only the places of those are
    brought into the order of the columns.

    Args:
        masks: (H, W) or (N, H, W) bool.

    Raises:
        ValueError: Another type or shape.
    """
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim not in (2, 3):
        what = f"{masks.shape} of {masks.dtype}" if isinstance(masks, np.ndarray) else type(masks).__name__
        raise ValueError(f"Expected `masks` (H, W) or (N, H, W) of bool, but got {what}.")
    stack = masks[None] if masks.ndim == 2 else masks  # (N, H, W)
    num_masks, height, width = stack.shape
    if not stack.size:
        return RunLengths((height, width), np.zeros(num_masks, np.int64), np.arange(num_masks + 1))
    at_once = min(max(1, _CHUNK_PIXELS // (height * width)), num_masks)
    changed = np.empty((at_once, height, width), dtype=np.bool_)
    parts = [_encode_chunk(stack[start : start + at_once], changed) for start in range(0, num_masks, at_once)]
    counts, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return RunLengths((height, width), counts, splits_of(lengths))


def decode(run_lengths: RunLengths) -> np.ndarray:
    """(N, H, W) bool: the masks. Only the columns that an object touches are unrolled."""
    height, width = run_lengths.size
    masks = np.zeros((len(run_lengths), height, width), dtype=np.bool_)
    runs = foreground(run_lengths)
    filled = np.flatnonzero(np.diff(runs.splits))  # the masks that have a pixel
    if not len(filled):
        return masks
    x0, y0, x1, y1 = (edge.tolist() for edge in _edges(runs, filled, height))
    bounds = np.column_stack([runs.starts, runs.ends]).ravel()
    first, last = (2 * runs.splits[:-1]).tolist(), (2 * runs.splits[1:]).tolist()
    turns = np.arange(2 * int(np.diff(runs.splits).max()) + 1) % 2 == 1  # background first
    for place, mask in enumerate(filled.tolist()):
        left, right, rows = x0[place], x1[place] + 1, slice(y0[place], y1[place] + 1)
        inner = bounds[first[mask] : last[mask]]
        lengths = np.diff(inner, prepend=left * height, append=right * height)
        columns = np.repeat(turns[: len(lengths)], lengths).reshape(right - left, height)
        masks[mask, rows, left:right] = columns[:, rows].T
    return masks


def areas(run_lengths: RunLengths) -> np.ndarray:
    """(N,) int64: the number of pixels of each mask."""
    inside = np.where(_turns(run_lengths) % 2 == 1, run_lengths.counts, 0)
    return np.add.reduceat(inside, run_lengths.splits[:-1])


def boxes_xywh(run_lengths: RunLengths) -> np.ndarray:
    """(N, 4) int64: left, top, width and height of the box around each mask; zeros where it is empty.

    A single pixel's box is 1 wide and 1 high, as in COCO's `bbox` and unlike that of `boxes_of_masks`.
    """
    boxes = np.zeros((len(run_lengths), 4), dtype=np.int64)
    runs = foreground(run_lengths)
    filled = np.flatnonzero(np.diff(runs.splits))
    if len(filled):
        x0, y0, x1, y1 = _edges(runs, filled, run_lengths.size[0])
        boxes[filled] = np.column_stack([x0, y0, x1 - x0 + 1, y1 - y0 + 1])
    return boxes


def union(run_lengths: RunLengths) -> RunLengths:
    """One mask: the pixels that any of the masks has; an empty one of no masks."""
    runs = foreground(run_lengths)
    places = np.concatenate([runs.starts, runs.ends])
    order = np.argsort(places, kind="stable")  # starts before ends: runs that touch are one
    covered = np.cumsum(np.where(order < len(runs.starts), 1, -1)) > 0
    is_change = np.diff(covered, prepend=False)
    return run_lengths_of_changes(places[order][is_change], size=run_lengths.size)


def run_lengths_of_changes(changes: np.ndarray, *, size: tuple[int, int]) -> RunLengths:
    """One mask from the places, counted down the columns and rising, of the pixels that differ from the one before.

    A change behind the last pixel changes nothing.
    """
    num_pixels = size[0] * size[1]
    counts = np.diff(changes[changes < num_pixels].astype(np.int64), prepend=0, append=num_pixels)
    return RunLengths(size, counts, np.array([0, len(counts)]))


def splits_of(lengths: np.ndarray) -> np.ndarray:
    """(N + 1,) where the parts of such lengths begin and end that lie one after another."""
    splits = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=splits[1:])
    return splits


def _encode_chunk(stack: np.ndarray, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All runs of some masks (N, H, W) and how many each has; the buffer has room for so many masks."""
    num_masks, height, width = stack.shape
    changed = buffer[:num_masks]
    np.not_equal(stack[:, 1:], stack[:, :-1], out=changed[:, 1:])
    np.not_equal(stack[:, 0, 1:], stack[:, -1, :-1], out=changed[:, 0, 1:])  # from one column's end to the next
    changed[:, 0, 0] = stack[:, 0, 0]
    flat = np.flatnonzero(changed)
    rows = flat // width  # of all masks, counted on
    mask_of = rows // height
    # mask * H * W + column * H + row of the mask
    places = (flat - rows * width) * height + rows + mask_of * (height * width - height)
    ends = np.arange(1, num_masks + 1) * (height * width)
    counts = np.diff(np.sort(np.concatenate([places, ends])), prepend=0)
    return counts, np.bincount(mask_of, minlength=num_masks) + 1


@dataclass(frozen=True)
class Foreground:
    """The object's runs that have a pixel: start and end of each, counted in its mask; splits as in `RunLengths`."""

    starts: np.ndarray
    ends: np.ndarray
    splits: np.ndarray


def foreground(run_lengths: RunLengths) -> Foreground:
    counts, (height, width) = run_lengths.counts, run_lengths.size
    lengths = np.diff(run_lengths.splits)
    before = np.repeat(np.arange(len(run_lengths)) * (height * width), lengths)
    inside = (_turns(run_lengths) % 2 == 1) & (counts > 0)
    ends = (np.cumsum(counts) - before)[inside]
    num_inside = np.add.reduceat(inside, run_lengths.splits[:-1], dtype=np.int64)
    return Foreground(ends - counts[inside], ends, splits_of(num_inside))


def _turns(run_lengths: RunLengths) -> np.ndarray:
    """(R,) of each run, the how manieth of its mask it is."""
    lengths = np.diff(run_lengths.splits)
    return np.arange(len(run_lengths.counts)) - np.repeat(run_lengths.splits[:-1], lengths)


def _edges(runs: Foreground, filled: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """First column and row, last column and row of each of the masks that have pixels."""
    left, right = runs.starts // height, (runs.ends - 1) // height
    spans = right > left  # from the foot of one column to the top of the next
    top = np.where(spans, 0, runs.starts - left * height)
    bottom = np.where(spans, height - 1, runs.ends - 1 - right * height)
    first = runs.splits[:-1][filled]
    last = runs.splits[1:][filled] - 1
    return left[first], np.minimum.reduceat(top, first), right[last], np.maximum.reduceat(bottom, first)
