"""What the three channels of a slice show: grey, neighbouring slices, sequences of one case, or CT windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeGuard

from sam_ft.checks import expect_whole_number
from sam_ft.transforms import resolve_window

Window = str | tuple[float, float]
Resolved = tuple[float, float] | Literal["file"] | None


@dataclass(frozen=True)
class Channel:
    """One channel of a picture."""

    sequence: int = 0  # which image of the case
    window: Resolved = None  # (level, width), or what the file asks for; None: percentiles of the volume
    offset: int = 0  # slices further along the axis; beyond the last one, the last one is shown


Channels = tuple[Channel, Channel, Channel]


def channels_of(window: Window | Sequence[Window | None] | None, *, num_sequences: int) -> Channels:
    """Red, green and blue of one image or of three, through one window or through three.

    One image through one window is grey. Three windows belong to the three images in their order, or all to the
    single one.

    Raises:
        ValueError: Two images or more than three, an unknown window, or two windows or more than three.
    """
    if num_sequences not in (1, 3):
        raise ValueError(
            f"Expected one pattern of images, or three for red, green and blue, but got {num_sequences}; "
            "a pattern may be named twice."
        )
    windows = _three_windows(window)
    red, green, blue = (
        Channel(sequence=number if num_sequences == 3 else 0, window=windows[number]) for number in range(3)
    )
    return red, green, blue


def with_neighbours(channels: Channels, distance: int) -> Channels:
    """The slice before as red, the slice itself as green, the slice after as blue, each `distance` slices apart.

    Raises:
        ValueError: A distance below 1, or channels that are not grey.
    """
    expect_whole_number("neighbours", distance, least=1)
    if len(set(channels)) > 1:
        raise ValueError(
            "Expected one image and one window to show neighbouring slices as channels, but three images or three "
            "windows take all channels: neighbours=null."
        )
    grey = channels[0]
    return replace(grey, offset=-distance), grey, replace(grey, offset=distance)


def _three_windows(window: Window | Sequence[Window | None] | None) -> list[Resolved]:
    if window is None or isinstance(window, str) or _is_pair(window):
        return [_resolved(window)] * 3
    if len(window) != 3 or not all(one is None or isinstance(one, str) or _is_pair(one) for one in window):
        raise ValueError(
            "Expected `window` to be a name, file, a pair (level, width > 0) or three of these for red, green and "
            f"blue, but got {list(window)}."
        )
    return [_resolved(one) for one in window]


def _resolved(window: Window | None) -> Resolved:
    if window is None:
        return None
    return "file" if window == "file" else resolve_window(window)


def _is_pair(window: object) -> TypeGuard[tuple[float, float]]:
    return isinstance(window, Sequence) and len(window) == 2 and all(isinstance(part, (int, float)) for part in window)
