"""The same image twice: exactly or nearly, within a part and, worse, across parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from sam_ft.doctor.cases import Inventory
from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.seen import Seen

ALIKE = 0.95
"""Product of two fingerprints from which on images are called nearly the same."""
_BLOCK = 512
_MOST_PAIRS = 100_000

Pair = tuple[Seen, Seen]


def check_twins(seen: Sequence[Seen], inventory: Inventory) -> Iterator[Finding]:
    """Exact copies by their pixels, near copies by their fingerprints."""
    readable = [each for each in seen if each.image is not None and each.image.high > each.image.low]
    exact, near = same_pixels(readable), alike(readable)
    leaks, inside = _by_part(exact)
    near_leaks, near_inside = _by_part(near)
    if leaks:
        text = f"{counted(len(leaks), 'image')} in two parts: what is measured is too good."
        kept = "data.group" if inventory.is_volumes else "a group in data=manifest, or one part's folder"
        advice = f"Take them out of one part, or keep them together: {kept}."
        yield Finding("leak", Severity.ERROR, text, advice, _found(leaks))
    if near_leaks:
        text = f"{counted(len(near_leaks), 'pair')} of nearly the same image in two parts: measuring may flatter."
        advice = "Keep what belongs together in one part: a film, a patient, the crops of one picture."
        yield Finding("near_leak", Severity.WARNING, text, advice, _found(near_leaks))
    if inside:
        text = f"{counted(len(inside), 'image')} more than once in a part: it counts more than the others."
        yield Finding("duplicate", Severity.WARNING, text, "Keep one of each.", _found(inside))
    if near_inside:
        text = f"{counted(len(near_inside), 'pair')} of nearly the same image in one part."
        advice = "Fine for neighbouring slices and frames; otherwise keep one of each."
        yield Finding("near_duplicate", Severity.NOTE, text, advice, _found(near_inside))


def same_pixels(seen: Sequence[Seen]) -> list[Pair]:
    """Each image with the first one of the same pixels."""
    groups: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        if each.image is not None:
            groups[each.image.digest].append(each)
    return [(first, other) for first, *others in groups.values() for other in others]


def alike(seen: Sequence[Seen]) -> list[Pair]:
    """Pairs whose fingerprints say nearly the same, exact copies left out; at most 100,000 of them."""
    known = [(each, each.image) for each in seen if each.image is not None and each.image.fingerprint is not None]
    if len(known) < 2:
        return []
    prints = np.stack([facts.fingerprint for _, facts in known if facts.fingerprint is not None])  # (I, 1024)
    pairs: list[Pair] = []
    for start in range(0, len(prints), _BLOCK):
        products = prints[start : start + _BLOCK] @ prints.T
        for row, column in zip(*np.nonzero(products >= ALIKE), strict=True):
            first, second = int(row) + start, int(column)
            if first < second and known[first][1].digest != known[second][1].digest:
                pairs.append((known[first][0], known[second][0]))
                if len(pairs) == _MOST_PAIRS:
                    return pairs
    return pairs


def _by_part(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Those of two parts, and the others."""
    across: list[Pair] = []
    inside: list[Pair] = []
    for first, second in pairs:
        parts = first.case.part, second.case.part
        (across if None not in parts and parts[0] != parts[1] else inside).append((first, second))
    return across, inside


def _found(pairs: Sequence[Pair]) -> tuple[Found, ...]:
    return tuple(Found(second.where, f"as {first.where}") for first, second in pairs)
