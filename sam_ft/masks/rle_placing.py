"""Run lengths of a part of an image as those of the whole image, and chosen ones of a stack."""

from __future__ import annotations

import numpy as np

from sam_ft.masks.rle import RunLengths, foreground, splits_of


def placed(run_lengths: RunLengths, *, at: tuple[int, int], size: tuple[int, int]) -> RunLengths:
    """Masks of a part of an image, background around it; without unrolling them.

    Args:
        run_lengths: of the part.
        at: (x, y) of the part's first pixel.
        size: (height, width) of the image.

    Raises:
        ValueError: the part does not lie inside.
    """
    (x, y), (height, width) = at, size
    part_height, part_width = run_lengths.size
    if x < 0 or y < 0 or x + part_width > width or y + part_height > height:
        raise ValueError(f"Expected a part of {size} pixels, but got {run_lengths.size} at {at}.")
    if run_lengths.size == size:
        return run_lengths
    runs = foreground(run_lengths)
    first, last = runs.starts // part_height, (runs.ends - 1) // part_height  # columns of each run
    pieces = last - first + 1
    run_of = np.repeat(np.arange(len(pieces)), pieces)
    columns = first[run_of] + np.arange(len(run_of)) - splits_of(pieces)[run_of]
    top = np.maximum(runs.starts[run_of], columns * part_height) - columns * part_height
    bottom = np.minimum(runs.ends[run_of], (columns + 1) * part_height) - columns * part_height
    begin = (columns + x) * height + y
    mask_of = np.repeat(np.arange(len(run_lengths)), np.diff(runs.splits))[run_of]
    return _from_pieces(begin + top, begin + bottom, mask_of, num_masks=len(run_lengths), size=size)


def taken(run_lengths: RunLengths, indices: np.ndarray) -> RunLengths:
    """The masks at some indices (K,), in their order."""
    lengths = np.diff(run_lengths.splits)[indices]
    splits = splits_of(lengths)
    places = np.arange(splits[-1]) + np.repeat(run_lengths.splits[indices] - splits[:-1], lengths)
    return RunLengths(run_lengths.size, run_lengths.counts[places], splits)


def stacked(parts: list[RunLengths], *, size: tuple[int, int]) -> RunLengths:
    """Masks of one size one after another; none of no parts."""
    counts = np.concatenate([np.zeros(0, dtype=np.int64), *(part.counts for part in parts)])
    lengths = np.concatenate([np.zeros(0, dtype=np.int64), *(np.diff(part.splits) for part in parts)])
    return RunLengths(size, counts, splits_of(lengths))


def _from_pieces(
    starts: np.ndarray, ends: np.ndarray, mask_of: np.ndarray, *, num_masks: int, size: tuple[int, int]
) -> RunLengths:
    """Run lengths of pieces that rise in each mask, mask after mask; pieces that touch become one run."""
    num_pixels = size[0] * size[1]
    touches = np.zeros(len(starts) + 1, dtype=np.bool_)
    touches[1:-1] = (starts[1:] == ends[:-1]) & (mask_of[1:] == mask_of[:-1])
    starts, ends, mask_of = starts[~touches[:-1]], ends[~touches[1:]], mask_of[~touches[:-1]]
    changes = np.stack([starts, ends], axis=1) + mask_of[:, None] * num_pixels  # counted on through all masks
    borders = np.arange(1, num_masks + 1) * num_pixels
    counts = np.diff(np.sort(np.concatenate([changes.ravel(), borders])), prepend=0)
    lengths = 2 * np.bincount(mask_of, minlength=num_masks) + 1
    last = splits_of(lengths)[1:] - 1
    ends_with_object = mask_of[ends == num_pixels]  # whose last change is the border itself
    stays = np.ones(len(counts), dtype=np.bool_)
    stays[last[ends_with_object]] = False
    lengths[ends_with_object] -= 1
    return RunLengths(size, counts[stays], splits_of(lengths))
