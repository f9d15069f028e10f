"""Run lengths as COCO's JSON has them: lists of counts and compressed strings, whole stacks at once.

In a compressed string each count is a signed number of 5 bits a character, the lowest first, beginning with "0"; 32 is
added where more follow. From the fourth on it is the difference to the count two before. Source: pycocotools,
`rleToString` and `rleFrString`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sam_ft.masks.rle import RunLengths, splits_of

_MOST_CHARACTERS = 7  # of a count: 35 bits, more than any difference of two masks' sizes needs
_LIMITS = [1 << (5 * more - 1) for more in range(1, _MOST_CHARACTERS)]  # a number from here on needs one more


def to_coco(run_lengths: RunLengths, *, compress: bool = True) -> list[dict[str, Any]]:
    """Each mask as COCO has it: `{"size": [h, w], "counts": "..."}`, or with a list of counts."""
    if compress:
        all_counts: Sequence[str | list[int]] = _compressed(run_lengths)
    else:
        counts, splits = run_lengths.counts.tolist(), run_lengths.splits.tolist()
        all_counts = [counts[start:stop] for start, stop in pairwise(splits)]
    return [{"size": list(run_lengths.size), "counts": each} for each in all_counts]


def from_coco(objects: Sequence[Mapping[str, Any]], *, size: tuple[int, int] | None = None) -> RunLengths:
    """Run lengths from `{"size": [h, w], "counts": ...}`, whose counts are a list or a compressed string.

    Args:
        objects: Masks of one size.
        size: (height, width) that all are to have; None: that of the first.

    Raises:
        ValueError: Neither objects nor a size, something that is no such mapping, another size, a string that is cut
            or no such string, or runs that `RunLengths` refuses; the mask is named by its index.
    """
    sizes = [_size_of(each, index) for index, each in enumerate(objects)]
    if size is None and not sizes:
        raise ValueError("Expected at least one mask or a `size`, but got neither.")
    expected = sizes[0] if size is None else size
    for index, found in enumerate(sizes):
        if found != expected:
            raise ValueError(f"Expected masks (height, width) of {expected}, but mask {index} is of {found}.")
    parts = [_count_array(each["counts"], index) for index, each in enumerate(objects)]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    joined = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    is_text = np.array([isinstance(each["counts"], (str, bytes)) for each in objects], dtype=np.bool_)
    if not is_text.any():
        return RunLengths(expected, joined, splits_of(lengths))
    return RunLengths(expected, *_decompressed(joined, lengths, is_text))


def _compressed(run_lengths: RunLengths) -> list[str]:
    counts, splits = run_lengths.counts, run_lengths.splits
    numbers = counts.copy()
    numbers[2:] -= counts[:-2]
    first = splits[:-1, None] + np.arange(3)  # (N, 3): the first three of each mask stay what they are
    first = first[first < splits[1:, None]]
    numbers[first] = counts[first]
    magnitudes = numbers ^ (numbers >> 63)
    num_characters = sum((magnitudes >= limit for limit in _LIMITS), start=np.ones(len(numbers), dtype=np.int64))
    ends = splits_of(num_characters)
    text = _digits(numbers, num_characters, ends).tobytes().decode("ascii")
    bounds = ends[splits].tolist()
    return [text[start:stop] for start, stop in pairwise(bounds)]


def _digits(numbers: np.ndarray, num_characters: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The characters of all numbers, (C,) uint8: the first of every number, then the second of those that have one."""
    characters = np.empty(ends[-1], dtype=np.uint8)
    place, left = ends[:-1], num_characters
    while len(numbers):
        follows = left > 1
        characters[place] = (numbers & 31) + np.where(follows, 80, 48)
        place, numbers, left = place[follows] + 1, numbers[follows] >> 5, left[follows] - 1
    return characters


def _decompressed(codes: np.ndarray, lengths: np.ndarray, is_text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and splits of masks of which some are characters, and some, which are left as they are, counts."""
    mask_of = np.repeat(np.arange(len(lengths)), lengths)
    coded = is_text[mask_of]
    digits = np.where(coded, codes - 48, 0)
    if (wrong := np.flatnonzero((digits < 0) | (digits > 63))).size:
        raise ValueError(
            f"Expected a compressed string of the characters 0 to o, but got {chr(codes[wrong[0]])!r} "
            f"in mask {mask_of[wrong[0]]}."
        )
    is_last = digits < 32
    final = splits_of(lengths)[1:] - 1
    if (cut := np.flatnonzero(~is_last[final])).size:
        raise ValueError(f"Expected a whole compressed string, but that of mask {cut[0]} ends inside a count.")
    stop = np.flatnonzero(is_last) + 1
    start = np.concatenate([[0], stop[:-1]])
    num_characters = stop - start
    if (long := np.flatnonzero(num_characters > _MOST_CHARACTERS)).size:
        raise ValueError(
            f"Expected counts of at most {_MOST_CHARACTERS} characters, but got one of {num_characters[long[0]]} "
            f"in mask {mask_of[start[long[0]]]}."
        )
    place = np.arange(len(codes)) - np.repeat(start, num_characters)
    numbers = np.add.reduceat((digits & 31) << (5 * place), start)
    numbers -= np.where(digits[stop - 1] & 16, np.int64(1) << (5 * num_characters), 0)  # the sign
    splits = splits_of(np.bincount(mask_of[start], minlength=len(lengths)))
    is_number = coded[start]
    return np.where(is_number, _summed(numbers, splits), codes[start]), splits


def _summed(numbers: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Counts from the differences to the count two before, which begin at the fourth of each mask."""
    lengths = np.diff(splits)
    turns = np.arange(len(numbers)) - np.repeat(splits[:-1], lengths)
    odd = turns % 2 == 1
    counts = np.where(turns == 0, numbers, 0)
    for members in (odd, ~odd & (turns > 0)):
        sums = np.cumsum(np.where(members, numbers, 0))
        before = np.repeat(sums[splits[:-1]], lengths)  # a mask's first count is a member of neither
        counts += np.where(members, sums - before, 0)
    return counts


def _size_of(given: Mapping[str, Any], index: int) -> tuple[int, int]:
    if not isinstance(given, Mapping) or "size" not in given or "counts" not in given:
        raise ValueError(f'Expected {{"size": [h, w], "counts": ...}} of mask {index}, but got {_short(given)}.')
    size = given["size"]
    if (
        not isinstance(size, (list, tuple))
        or len(size) != 2
        or not all(type(side) is int and side >= 0 for side in size)
    ):
        raise ValueError(f"Expected `size` [height, width] of mask {index}, but got {_short(size)}.")
    return size[0], size[1]


def _count_array(counts: object, index: int) -> np.ndarray:
    """(R,) int64: the counts of a list, or the characters of a string."""
    if isinstance(counts, str):
        counts = counts.encode("latin-1", errors="replace")
    if isinstance(counts, bytes) and counts:
        return np.frombuffer(counts, dtype=np.uint8).astype(np.int64)
    if isinstance(counts, (list, tuple)) and counts and set(map(type, counts)) == {int}:
        try:
            return np.array(counts, dtype=np.int64)
        except OverflowError as err:
            raise ValueError(f"Expected counts of mask {index} below 2 ** 63, but got {_short(counts)}.") from err
    raise ValueError(f"Expected a string or a list of whole `counts` of mask {index}, but got {_short(counts)}.")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
