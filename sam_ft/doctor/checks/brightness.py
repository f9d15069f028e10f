"""What the intensities of images tell: nothing in them, cut off, too dark, too few levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from sam_ft.doctor.cases import Inventory
from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.seen import ImageFacts, Seen

DIM_SPREAD = 64
"""Of 255: an image of which 99 percent of the values lie closer together than this is dim."""
SATURATED_SHARE = 0.2
_FEW_LEVELS = range(3, 25)
_AIR_HU = (-3100, -800)  # what lies outside the scanner's field may be padded with less
_BONE_HU = 200
_OFTEN = 0.05
"""What concerns fewer of the images than this share is a note."""


def check_brightness(seen: Sequence[Seen], inventory: Inventory) -> Iterator[Finding]:
    """Of all images that could be read."""
    images = [(each.where, each.image) for each in seen if each.image is not None]
    yield from _constant(images)
    yield from _not_finite(images)
    yield from _wrapped(images)
    yield from _few_levels(images)
    if not inventory.pixels.stretch and inventory.pixels.range == "auto":
        yield from _dim(images)
    yield from _saturated(images)
    if inventory.is_volumes:  # of which each is scaled by itself
        yield from _no_window(images, inventory)
    else:
        yield from _mixed_types(images)


Images = Sequence[tuple[str, ImageFacts]]


def _those(
    images: Images, is_so: Callable[[ImageFacts], bool], detail: Callable[[ImageFacts], str]
) -> tuple[Found, ...]:
    return tuple(Found(where, detail(facts)) for where, facts in images if is_so(facts))


def _has_range(facts: ImageFacts) -> bool:
    return facts.high > facts.low


def _constant(images: Images) -> Iterator[Finding]:
    if found := _those(images, lambda facts: not _has_range(facts), lambda facts: f"everywhere {facts.low:g}"):
        text = f"{counted(len(found), 'image')} of one value: nothing can be seen."
        yield Finding("constant_image", Severity.ERROR, text, "Export them anew, or take them out.", found)


def _not_finite(images: Images) -> Iterator[Finding]:
    found = _those(
        images, lambda facts: facts.num_not_finite > 0, lambda facts: f"{facts.num_not_finite:,} values are not finite"
    )
    if found:
        text = f"{counted(len(found), 'image')} with NaN or infinite values, which are shown black."
        advice = "Replace these values by that of the background."
        yield Finding("not_finite", Severity.WARNING, text, advice, found)


def _wrapped(images: Images) -> Iterator[Finding]:
    found = _those(images, lambda facts: facts.is_wrapped, lambda facts: f"{facts.dtype}, jumps from white to black")
    if found:
        text = f"{counted(len(found), 'image')} in which white places begin again at black: the high bits are lost."
        advice = "Export the original 16 bits as PNG or TIFF; they are scaled when they are read."
        yield Finding("wrapped", Severity.ERROR, text, advice, found)


def _few_levels(images: Images) -> Iterator[Finding]:
    def is_so(facts: ImageFacts) -> bool:
        if facts.dtype != "uint8" or facts.num_levels not in _FEW_LEVELS:
            return False
        return (facts.high - facts.low) / (facts.num_levels - 1) >= 4  # else a dim image, not a coarse one

    if found := _those(images, is_so, lambda facts: f"{facts.num_levels} levels from {facts.low:g} to {facts.high:g}"):
        text = f"{counted(len(found), 'image')} with very few grey levels: finer ones were lost when it was exported."
        advice = "Export the original bits (16-bit PNG or TIFF); if these are drawings, nothing is wrong."
        yield Finding("few_levels", Severity.WARNING, text, advice, found)


def _dim(images: Images) -> Iterator[Finding]:
    def is_so(facts: ImageFacts) -> bool:
        return facts.spread is not None and _has_range(facts) and facts.spread < DIM_SPREAD

    if found := _those(images, is_so, lambda facts: f"99 % of the values within {facts.spread:.0f} of 255"):
        severity = Severity.WARNING if len(found) >= _OFTEN * len(images) else Severity.NOTE
        text = f"{counted(len(found), 'image')} of {len(images):,} dim or flat: the model sees nearly one grey."
        advice = "data.stretch=true stretches the brightness of each image; or export them brighter."
        yield Finding("dim", severity, text, advice, found)


def _saturated(images: Images) -> Iterator[Finding]:
    def is_so(facts: ImageFacts) -> bool:
        return facts.num_levels > 2 and _has_range(facts) and facts.at_top > SATURATED_SHARE

    if found := _those(images, is_so, lambda facts: f"{100 * facts.at_top:.0f} % of the pixels are {facts.high:g}"):
        text = (
            f"{counted(len(found), 'image')} with more than {SATURATED_SHARE:.0%} of the pixels at the largest value."
        )
        advice = "Fine where that is a white background; otherwise too long exposed, and nothing brings it back."
        yield Finding("saturated", Severity.NOTE, text, advice, found)


def _no_window(images: Images, inventory: Inventory) -> Iterator[Finding]:
    """Air in HU is -1000: where the darkest values are about that, it is CT."""
    found = _those(
        images,
        lambda facts: _AIR_HU[0] <= facts.low <= _AIR_HU[1] and facts.high > _BONE_HU,
        lambda facts: f"{facts.low:g} to {facts.high:g}",
    )
    if found and inventory.window is None:
        text = f"{counted(len(found), 'volume')} with intensities like those of CT, shown through no window."
        advice = "Choose one that shows what is to be found: data.window=abdomen, lung, bone, ... or [level, width]."
        yield Finding("no_window", Severity.NOTE, text, advice, found)


def _mixed_types(images: Images) -> Iterator[Finding]:
    times = Counter(facts.dtype for _, facts in images)
    if len(times) > 1:
        rare = min(times, key=lambda dtype: times[dtype])
        listed = ", ".join(f"{count:,} of {dtype}" for dtype, count in times.most_common())
        found = _those(images, lambda facts: facts.dtype == rare, lambda facts: facts.dtype)
        text = f"Images of different types: {listed}."
        advice = "Eight bits are taken as they are, others are scaled from each image's percentiles."
        yield Finding("mixed_types", Severity.NOTE, text, advice, found)
