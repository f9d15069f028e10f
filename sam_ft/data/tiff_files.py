"""TIFF files of several pages or channels, through tifffile: what their axes mean, and one picture after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from sam_ft.data.damaged import MOST_INFLATION, reading
from sam_ft.data.orientation import ORIENTATION, expect_upright
from sam_ft.optional import require

TIFF_SUFFIXES = (".tif", ".tiff")
_CHANNELS = "CS"
_INFLATION = {1: 4, 5: 4096, 7: 512, 8: MOST_INFLATION, 32773: 64, 32946: MOST_INFLATION}
"""None (YCbCr may be subsampled), LZW (a code of 12 bits is 3839 bytes at most), JPEG (64 pixels are a bit), deflate,
PackBits, deflate."""
_MOST_INFLATION_OF_OTHERS = 1 << 15
"""Zstandard repeats a byte 128 KiB in four bytes."""
_SPARE_BYTES = 1 << 16
_UNKNOWN = "QI"
"""tifffile's letters for an axis of which the file says nothing: dimension and sequence."""


@dataclass(frozen=True)
class TiffPictures:
    """The pictures in a file: those of a stack, of a series in time, or one alone.

    Attributes:
        axes: A letter for each dimension, as tifffile names them: Y, X, C or S (channels), Z, T, ...
        shape: Their lengths.
        page_axes: The letters of those along which one picture follows another.
    """

    path: Path
    axes: str
    shape: tuple[int, ...]
    page_axes: str

    @property
    def page_shape(self) -> tuple[int, ...]:
        """Lengths of the axes along which pictures follow each other."""
        return tuple(self.shape[self.axes.index(letter)] for letter in self.page_axes)

    def __len__(self) -> int:
        return math.prod(self.page_shape)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a picture."""
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")]

    def expect_shown_whole(self) -> None:
        """Checks that nothing is left out where nobody chose channels: the last of two or four may be no alpha channel.

        Raises:
            ValueError: There are channels (C, not the samples S of colours), and not one or three.
        """
        count = self.shape[self.axes.index("C")] if "C" in self.axes else 1
        if count not in (1, 3):
            raise ValueError(
                f"Expected a choice of the {count} channels in {self.path}, such as data.channels=[0] or [1,0,0], but "
                "got none."
            )

    def picture(self, index: int) -> np.ndarray:
        """(H, W) or (H, W, C) numbers as the file holds them; the last of `page_axes` runs fastest.

        Raises:
            ValueError: The file is damaged, or its compression unknown here; it is named.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a picture from 0 to {len(self) - 1} in {self.path}, but got {index}.")
        place = dict(zip(self.page_axes, np.unravel_index(index, self.page_shape), strict=True)) if len(self) else {}
        with _open(self.path) as file:
            pixels, axes = self._pixels(file.series[0], {letter: int(number) for letter, number in place.items()})
        order = ["Y", "X", *(letter for letter in axes if letter not in "YX")]
        pixels = pixels.transpose([axes.index(letter) for letter in order])
        return pixels if pixels.ndim == 2 else pixels.reshape(*pixels.shape[:2], -1)  # (H, W, C)

    def _pixels(self, series: Any, place: dict[str, int]) -> tuple[np.ndarray, str]:
        """The pixels at a place, and the axes that are left."""
        left = "".join(letter for letter in self.axes if letter not in place)
        if series.dataoffset is not None:
            whole = require("tifffile", extra="tiff").memmap(self.path, mode="r")
            return np.array(whole[tuple(place.get(letter, slice(None)) for letter in self.axes)]), left
        within = len(series.pages[0].shape)
        outer, inner = self.axes[: len(self.axes) - within], self.axes[len(self.axes) - within :]
        numbers = np.arange(len(series.pages)).reshape(self.shape[: len(outer)])
        chosen = numbers[tuple(place.get(letter, slice(None)) for letter in outer)]
        pages = np.stack([series.pages[number].asarray() for number in chosen.ravel()])
        pixels = pages.reshape(*chosen.shape, *pages.shape[1:])
        inside = tuple(place.get(letter, slice(None)) for letter in inner)
        return pixels[(slice(None),) * chosen.ndim + inside], left


def open_tiff(path: Path, *, axes: str | None = None, unknown: Literal["pages", "channels"] = "pages") -> TiffPictures:
    """What a file holds; pixels are not read.

    Args:
        path: Of the file.
        axes: What its dimensions mean, where the file says nothing or something wrong, such as "ZCYX"; None: as the
            file says (ImageJ, OME and tifffile itself write it).
        unknown: What an axis is of which the file says nothing.

    Raises:
        ValueError: No TIFF, pages that viewers turn, pictures of several sizes, axes that do not fit, more pixels than
            Pillow allows or than the file can hold, or parts that would inflate to far more than their pixels.
    """
    with _open(path) as file:
        expect_upright(file.pages[0].tags.valueof(ORIENTATION))
        if len(file.series) != 1:
            raise ValueError(f"it holds {len(file.series)} images of different sizes or kinds, expected one")
        shape, letters = tuple(int(length) for length in file.series[0].shape), axes or file.series[0].axes
        if len(letters) != len(shape) or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
            raise ValueError(
                f"its shape is {shape} and its axes are {letters}, expected Y, X and others, each once (data.axes "
                "says what those of images mean, such as ZCYX)"
            )
        channels = _CHANNELS + (_UNKNOWN if unknown == "channels" else "")
        page_axes = "".join(letter for letter in letters if letter not in f"YX{channels}")
        found = TiffPictures(path, letters, shape, page_axes)
        pixels = math.prod(shape) // max(len(found), 1)
        if min(shape) < 1 or (Image.MAX_IMAGE_PIXELS is not None and pixels > 2 * Image.MAX_IMAGE_PIXELS):
            raise ValueError(
                f"its shape is {shape}, expected at most {2 * (Image.MAX_IMAGE_PIXELS or 0)} numbers a page"
            )
        _expect_room_in_file(file.series[0].keyframe, math.prod(shape), size_bytes=path.stat().st_size)
    return found


def open_tiff_image(path: Path, *, unknown: Literal["pages", "channels"]) -> TiffPictures:
    """The same of a file with a single picture.

    Raises:
        ValueError: There are several, or what `open_tiff` raises.
    """
    found = open_tiff(path, unknown=unknown)
    if len(found) != 1:
        raise ValueError(
            f"Expected one image in {path}, but it holds {len(found)} pages (axes {found.axes}): data=tiff_stacks "
            "reads stacks, and data.channels=[0,1,2] takes pages without a meaning as channels."
        )
    return found


def most_inflation(compression: int) -> int:
    """How many bytes of pixels a byte of a file gives at most, by TIFF's number of the compression."""
    return _INFLATION.get(compression, _MOST_INFLATION_OF_OTHERS)


def _expect_room_in_file(page: Any, num_numbers: int, *, size_bytes: int) -> None:
    """Refuse a header that claims more than the file can hold, and strips or tiles far longer than their pixels."""
    claimed = num_numbers * page.bitspersample // 8
    if claimed > size_bytes * most_inflation(int(page.compression)):
        raise ValueError(f"its header claims {claimed} bytes of pixels, more than its {size_bytes} bytes hold")
    longest = max(page.databytecounts, default=0)
    of_pixels = page.size * page.bitspersample // 8
    if page.compression != 1 and longest > 2 * of_pixels + _SPARE_BYTES:
        raise ValueError(f"it has {longest} compressed bytes in one piece for a page of {of_pixels}")


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    tifffile = require("tifffile", extra="tiff")
    with reading(path, "a TIFF image", also=(AssertionError,)), tifffile.TiffFile(path) as file:
        yield file
