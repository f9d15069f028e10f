"""From an image file's pixels, of any depth and number of channels, to the three channels of 8 bits that SAM sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from sam_ft.checks import expect_bool
from sam_ft.transforms import image_range, rescale

_STRETCHED_BETWEEN = (0.5, 99.5)
_RANGES = ("auto", "percentiles")

Range = str | Sequence[float]
Limits = tuple[tuple[float, float], ...]
"""(low, high) of all channels together, or of each."""


class Look(TypedDict, total=False):
    """The keywords of `PixelRule` that a configuration sets."""

    stretch: bool
    range: Range
    channels: Sequence[int] | None


@dataclass(frozen=True)
class PixelRule:
    """How pixels are shown.

    Args:
        stretch: Whether each image's brightness is stretched to the whole range in the end; see `stretched`.
        range: Which intensities become 0 and 255. "auto": 8 bits are taken as they are, anything deeper from the 0.5
            to 99.5 percentiles of all pixels of the shown channels. "percentiles": each channel from its own, 8 bits
            too. A pair: these two, in every image and channel.
        channels: Which channels, counted from 0, are red, green and blue, such as [3, 2, 1]; one alone is grey. None:
            the one or three that there are, without an alpha channel.

    Raises:
        ValueError: A range or channels of another kind.
    """

    stretch: bool = False
    range: Range = "auto"
    channels: Sequence[int] | None = None

    def __post_init__(self) -> None:
        expect_bool("stretch", self.stretch)
        if not (self.range in _RANGES if isinstance(self.range, str) else _is_rising_pair(self.range)):
            raise ValueError(
                f"Expected `range` to be {', '.join(_RANGES)} or two rising numbers such as [0, 4095], but got "
                f"{self.range!r}."
            )
        if self.channels is not None and not _are_channels(self.channels):
            raise ValueError(
                "Expected `channels` to be one number or three, counted from 0, such as [3, 2, 1] or [0], but got "
                f"{self.channels!r}."
            )

    def picture(self, pixels: np.ndarray, *, path: Path, limits: Limits | None = None) -> np.ndarray:
        """(H, W) or (H, W, C) of any type -> (H, W, 3) uint8 RGB.

        Args:
            pixels: Of the file.
            path: For messages.
            limits: As `limits` found them in more than these pixels; None: in these.

        Raises:
            ValueError: As `limits`.
        """
        shown = self._shown(pixels, path=path)
        limits = self._limits(shown, path=path) if limits is None else limits
        if shown.dtype == bool:
            shown = shown.astype(np.uint8) * 255
        elif len(limits) > 1:
            shown = np.stack(
                [rescale(shown[..., index], low=low, high=high) for index, (low, high) in enumerate(limits)], axis=-1
            )
        elif limits:
            shown = rescale(shown, low=limits[0][0], high=limits[0][1])
        if shown.ndim == 2:
            shown = np.repeat(shown[..., None], 3, axis=-1)  # (H, W, 3)
        return np.ascontiguousarray(stretched(shown) if self.stretch else shown)

    def limits(self, pictures: Sequence[np.ndarray], *, path: Path) -> Limits:
        """The intensities of several pictures that become 0 and 255; empty where 8 bits are taken as they are.

        Raises:
            ValueError: Channels that are not there, another number of them than one or three, or no finite intensity.
        """
        return self._limits(np.concatenate([self._shown(pixels, path=path) for pixels in pictures]), path=path)

    def _shown(self, pixels: np.ndarray, *, path: Path) -> np.ndarray:
        """(H, W) or (H, W, 3)."""
        if pixels.ndim not in (2, 3) or pixels.size == 0 or pixels.dtype.kind not in "biuf":
            raise ValueError(
                f"Expected an image (height, width, channels) in {path}, but its shape is {pixels.shape} of "
                f"{pixels.dtype}."
            )
        layered = pixels[..., None] if pixels.ndim == 2 else pixels  # (H, W, C)
        count = layered.shape[2]
        if self.channels is not None:
            if max(self.channels) >= count:
                raise ValueError(f"Expected channels {list(self.channels)} in {path}, but it has 0 to {count - 1}.")
            layered = layered[..., list(self.channels)]
        elif count in (2, 4):
            layered = layered[..., :-1]
        if layered.shape[2] not in (1, 3):
            raise ValueError(
                f"Expected a grey, RGB or RGBA image in {path}, but its shape is {pixels.shape}: say which channels "
                "to show, such as data.channels=[3,2,1]."
            )
        return layered[..., 0] if layered.shape[2] == 1 else layered

    def _limits(self, shown: np.ndarray, *, path: Path) -> Limits:
        if not isinstance(self.range, str):
            low, high = self.range
            return ((float(low), float(high)),)
        if shown.dtype == bool or (self.range == "auto" and shown.dtype == np.uint8):
            return ()
        each = [shown] if self.range == "auto" or shown.ndim == 2 else [shown[..., index] for index in range(3)]
        if not all(np.isfinite(values).any() for values in each):
            raise ValueError(f"Expected finite intensities in {path}, but got none.")
        return tuple(image_range(values) for values in each)


AS_IT_IS = PixelRule()
"""Nothing chosen: one or three channels, deep ones from their percentiles."""


def stretched(image: np.ndarray) -> np.ndarray:
    """An image whose 0.5 and 99.5 percentiles, over all pixels and channels, are 0 and 255.

    Of a dim picture the model sees otherwise nearly the same value everywhere; colours keep their proportions.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8; the image itself where both percentiles are one value.
    """
    low, high = np.percentile(image, _STRETCHED_BETWEEN)
    return rescale(image, low=low, high=high) if high > low else image


def _is_rising_pair(limits: object) -> bool:
    are_numbers = isinstance(limits, Sequence) and all(
        isinstance(limit, (int, float)) and not isinstance(limit, bool) and np.isfinite(limit) for limit in limits
    )
    return are_numbers and len(limits) == 2 and limits[0] < limits[1]  # type: ignore[arg-type, index]


def _are_channels(channels: object) -> bool:
    return (
        isinstance(channels, Sequence)
        and not isinstance(channels, str)
        and len(channels) in (1, 3)
        and all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in channels)
    )
