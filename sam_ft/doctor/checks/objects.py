"""How many objects there are, and how large: empty labels, specks, small ones, and ones that fill their image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sam_ft.doctor.cases import Inventory, Meaning
from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.seen import LabelFacts, Seen
from sam_ft.doctor.sizing import SMALL_PX, SPECK_PX, object_sizes, specks

_OFTEN = 0.05
_WHOLE = 0.9
"""Share of a square of the longer side that an object must have to be called the whole image."""
_NOTED_SHARE = 0.25


def check_objects(
    seen: Sequence[Seen], inventory: Inventory, *, image_size: int, has_windows: bool
) -> Iterator[Finding]:
    """Of all labels that could be read.

    Args:
        seen: what was seen.
        inventory: of the data set.
        image_size: side of the model's frame.
        has_windows: whether parts of the images are seen, in which small objects are large.
    """
    labelled = [(each, each.label) for each in seen if each.label is not None]
    if not labelled:
        return
    yield from _empty(labelled, inventory)
    if inventory.meaning == Meaning.CLASSES:
        return
    yield from _specks(labelled, inventory)
    yield from _small(seen, inventory, image_size=image_size, has_windows=has_windows)
    yield from _whole(labelled)


Labelled = Sequence[tuple[Seen, LabelFacts]]


def _empty(labelled: Labelled, inventory: Inventory) -> Iterator[Finding]:
    found = tuple(Found(_label_of(seen)) for seen, label in labelled if not len(label.areas))
    if not found:
        return
    if len(found) == len(labelled):
        advice = "Look at what the labels hold: nothing can be learnt from them."
        yield Finding("no_objects", Severity.ERROR, "No label holds an object.", advice, found)
        return
    severity = Severity.WARNING if len(found) >= _OFTEN * len(labelled) else Severity.NOTE
    text = f"{counted(len(found), 'label')} of {len(labelled):,} without any object."
    left_out = "Their images are left out of training and measuring."
    advice = (
        f"{'' if inventory.meaning == Meaning.CLASSES else left_out + ' '}If they should hold some, export them anew."
    )
    yield Finding("empty_label", severity, text, advice, found)


def _specks(labelled: Labelled, inventory: Inventory) -> Iterator[Finding]:
    smallest = inventory.least_area_px
    sizes = object_sizes([seen for seen, _ in labelled], smallest_px=smallest)
    count = int(specks(sizes).sum())
    if not count:
        return
    limit = np.median(sizes.areas) * 0.05
    found = tuple(
        Found(_label_of(seen), f"{counted(number, 'object')} of at most {int(min(SPECK_PX - 1, limit))} pixels")
        for seen, label in labelled
        if (number := int(((label.areas >= smallest) & (label.areas < min(SPECK_PX, limit))).sum()))
    )
    share = count / len(sizes.areas)
    severity = Severity.WARNING if share >= 0.01 else Severity.NOTE
    median = f"{np.median(sizes.areas):,.0f}"
    text = f"{counted(count, 'object')} ({share:.1%}) of fewer than {SPECK_PX} pixels, where the median has {median}."
    advice = f"Probably slips of the pen: {inventory.least_area_key}={SPECK_PX + 1} leaves them out."
    yield Finding("specks", severity, text, advice, found)


def _small(seen: Sequence[Seen], inventory: Inventory, *, image_size: int, has_windows: bool) -> Iterator[Finding]:
    sizes = object_sizes(seen, smallest_px=inventory.least_area_px)
    if not len(sizes.sides) or has_windows:
        return
    sides = sizes.sides * image_size
    share = float((sides < SMALL_PX).mean())
    if share < _NOTED_SHARE:
        return
    is_median = sizes.median_side * image_size < SMALL_PX
    text = (
        f"{share:.0%} of the objects have a side below {SMALL_PX:g} pixels in a frame of {image_size} (median "
        f"{np.median(sides):.0f}): their masks are a few pixels of the decoder's."
    )
    advice = "Take a larger model.image_size, or loader.windows, which shows parts of the images; see the suggestions."
    yield Finding("small_objects", Severity.WARNING if is_median else Severity.NOTE, text, advice)


def _whole(labelled: Labelled) -> Iterator[Finding]:
    found = tuple(
        Found(_label_of(seen), f"{int(label.areas.max()):,} pixels")
        for seen, label in labelled
        if len(label.areas) and label.areas.max() >= _WHOLE * label.longest**2
    )
    if len(found) >= _OFTEN * len(labelled) and found:
        text = f"{counted(len(found), 'label')} in which one object is nearly the whole image: perhaps the background."
        advice = "Number the background 0."
        yield Finding("whole_image", Severity.WARNING, text, advice, found)


def _label_of(seen: Seen) -> str:
    return seen.where if seen.case.label is None else str(seen.case.label)
