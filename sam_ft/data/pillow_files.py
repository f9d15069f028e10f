"""Images that Pillow reads; one whose header promises more than its file can hold is refused before it is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sam_ft.data.damaged import MOST_INFLATION, reading
from sam_ft.data.orientation import ORIENTATION, expect_upright
from sam_ft.data.tiff_files import most_inflation

_MOST_PIXELS_OF_A_BYTE = {"PNG": 8 * MOST_INFLATION, "JPEG": 512}
"""By format: deflated, of one bit a pixel; at least one bit for 64 pixels in Huffman's code."""
_BITS_PER_SAMPLE, _COMPRESSION = 258, 259
"""Tags of TIFF 6.0."""
_CHANNELS = {2: 3, 4: 2, 6: 4}
"""By colour type of PNG, of those with more than one channel (PNG specification, 11.2.1)."""
_READ_AS_COLOURS = ("CMYK", "YCbCr", "LAB", "HSV")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image whose header is read.

    Raises:
        ValueError: There is none, it promises more pixels than the file can hold, or the caller cannot decode it.
    """
    with (
        reading(path, "an image", also=(Image.DecompressionBombError,), because="it cannot be decoded: "),
        Image.open(path) as image,
    ):
        size_bytes = path.stat().st_size
        pixels = image.width * image.height
        if pixels > size_bytes * _most_pixels_of_a_byte(image):
            raise ValueError(
                f"its header promises {image.width} x {image.height} pixels, more than its {size_bytes} bytes hold"
            )
        yield image


def pixels_of(path: Path, *, as_indices: bool) -> np.ndarray:
    """(H, W) or (H, W, C) the pixels of an image file, all of their bits.

    Args:
        path: Of the file.
        as_indices: Whether a palette image is read as its indices; otherwise as colours.

    Raises:
        ValueError: As `opened`, or several pages.
    """
    with opened(path) as image:
        if (num_pages := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"it holds {num_pages} pages, expected one")
        if image.format == "PNG" and (num_channels := _channels_of_deep_png(path)):
            return _deep_png(path, size=(image.height, image.width), num_channels=num_channels)
        is_converted = image.mode in _READ_AS_COLOURS or (image.mode == "P" and not as_indices)
        return np.array(image.convert("RGB") if is_converted else image)


def expect_upright_file(path: Path) -> None:
    """Refuse an image that is stored turned; its header alone is read.

    Raises:
        ValueError: As `opened` and `expect_upright`.
    """
    with opened(path) as image:
        orientation = _orientation(image)
    with reading(path, "an upright image"):
        expect_upright(orientation)


def tiff_is_beyond_pillow(path: Path) -> bool:
    """Whether Pillow cannot read a TIFF file at all, not all of its pages, or not all of its bits.

    Raises:
        ValueError: There is no such file, or its header is damaged.
    """
    try:
        with opened(path) as image:
            bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
            return getattr(image, "n_frames", 1) > 1 or (len(bits) > 1 and max(bits) > 8)
    except ValueError as err:
        if isinstance(err.__cause__, UnidentifiedImageError):
            return True
        raise


def _orientation(image: Image.Image) -> object:
    """What the header says of how the image is turned; None: nothing."""
    if image.format == "PNG" and "exif" not in image.info:
        return None  # Pillow would decode the pixels to look behind them
    return image.getexif().get(ORIENTATION)


def _most_pixels_of_a_byte(image: Image.Image) -> float:
    """That a byte of the file can hold; of formats that are not compressed no limit, since Pillow looks itself."""
    if image.format != "TIFF":
        return _MOST_PIXELS_OF_A_BYTE.get(image.format or "", math.inf)
    tags = getattr(image, "tag_v2", {})
    return 8 * most_inflation(tags.get(_COMPRESSION, 1)) / max(sum(tags.get(_BITS_PER_SAMPLE, (1,))), 1)


def _channels_of_deep_png(path: Path) -> int:
    """Of a PNG file with 16 bits in several channels, of which Pillow keeps 8; of others 0."""
    with path.open("rb") as file:
        header = file.read(26)
    return _CHANNELS.get(header[25], 0) if header[24] == 16 else 0


def _deep_png(path: Path, *, size: tuple[int, int], num_channels: int) -> np.ndarray:
    """(H, W, 3 or 4) uint16; grey with alpha has four."""
    import cv2  # takes a moment

    content = np.fromfile(path, dtype=np.uint8)
    if (claimed := math.prod(size) * num_channels * 2) > len(content) * MOST_INFLATION:
        raise ValueError(f"its header promises {claimed} bytes of pixels, more than its {len(content)} bytes hold")
    try:
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    except cv2.error as err:
        raise ValueError(f"its 16 bits cannot be decoded ({err})") from err
    if pixels is None or pixels.ndim != 3:
        raise ValueError("its 16 bits cannot be decoded")
    return pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
