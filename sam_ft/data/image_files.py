"""Reading images and label maps from PNG, JPEG, TIFF, BMP and NumPy files; every error names the file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np
from PIL import Image, UnidentifiedImageError

from sam_ft.files import is_file
from sam_ft.masks.room import expect_room
from sam_ft.transforms import percentile_range, rescale

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")
_STRETCHED_BETWEEN = (0.5, 99.5)
_UNREADABLE = (
    UnidentifiedImageError, Image.DecompressionBombError, OSError, EOFError, SyntaxError, ValueError, TypeError,
    LookupError, OverflowError, RecursionError, MemoryError, struct.error, zlib.error, TokenError,
)  # fmt: skip
"""What Pillow and NumPy raise at files that are damaged or made to do harm."""
_MOST_PIXELS_OF_A_BYTE = {"PNG": 8 * 1032, "JPEG": 512}
"""By format: deflated 1032 times, of one bit a pixel; at least one bit for 64 pixels in Huffman's code."""
_MOST_LABEL = 2**32 - 1


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB; grey is repeated, a palette resolved, an alpha channel dropped.

    Eight bits are taken as they are; anything deeper is scaled from the 0.5 to 99.5 percentiles of the image.

    Raises:
        ValueError: The file cannot be decoded, or is not one grey, RGB or RGBA image.
    """
    pixels = _decode(path)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or pixels.size == 0:
        raise ValueError(f"Expected a grey, RGB or RGBA image in {path}, but its shape is {pixels.shape}.")
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype != np.uint8:
        if not np.isfinite(pixels).any():
            raise ValueError(f"Expected finite intensities in {path}, but got none.")
        low, high = percentile_range(pixels)
        pixels = rescale(pixels, low=low, high=high)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)  # (H, W, 3)
    return np.ascontiguousarray(pixels)


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


def read_label_map(path: Path) -> np.ndarray:
    """(H, W) integers: 0 is background, every other value one object.

    Raises:
        ValueError: The file cannot be decoded, holds colours, or values that are no integers of 0 and above.
    """
    labels = _decode(path, as_indices=True)
    if labels.ndim != 2:
        raise ValueError(f"Expected one channel of object numbers in {path}, but its shape is {labels.shape}.")
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if not (labels == np.rint(labels)).all():
        raise ValueError(f"Expected whole object numbers in {path}, but got {labels.dtype} with fractions.")
    for found in (labels.min(), labels.max()) if labels.size else ():
        if not 0 <= found <= _MOST_LABEL:
            raise ValueError(
                f"Expected object numbers of 0 (background) and above in {path}, up to {_MOST_LABEL}, but got {found}."
            )
    return labels if np.issubdtype(labels.dtype, np.integer) else labels.astype(np.int64)


def masks_of_values(labels: np.ndarray, values: np.ndarray, *, path: Path) -> np.ndarray:
    """(N, H, W) bool: where a label map (H, W) has each of N values.

    Raises:
        ValueError: There are too many for any memory; `path` is named.
    """
    expect_room(len(values), size=labels.shape, path=path)
    return labels == values[:, None, None]


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header; its pixels are not decoded.

    Raises:
        ValueError: The file cannot be read.
    """
    try:
        if path.suffix.lower() == ".npy":
            height, width = _mapped(path).shape[:2]
            return height, width
        with _opened(path) as image:
            return image.height, image.width
    except _UNREADABLE as err:
        raise ValueError(f"Expected an image in {path}, but it cannot be decoded: {err}") from err


def _decode(path: Path, *, as_indices: bool = False) -> np.ndarray:
    """The file's pixels; those of a palette image as colours, or as the indices themselves."""
    try:
        if path.suffix.lower() == ".npy":
            return np.array(_mapped(path))
        with _opened(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"it holds {getattr(image, 'n_frames', 1)} pages, expected one")
            if image.mode == "P" and not as_indices:
                return np.array(image.convert("RGB"))
            return np.array(image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else image)
    except _UNREADABLE as err:
        raise ValueError(f"Expected an image in {path}, but it cannot be decoded: {err}") from err


def _mapped(path: Path) -> np.ndarray:
    """The array of a NumPy file, not read yet; one that the file cannot hold, or that holds no numbers, is refused."""
    _expect_file(path)
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("it is no NumPy file")
    array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"it holds {array.dtype}, expected real numbers")
    return array


def _opened(path: Path) -> Image.Image:
    """An image whose header is read; one that promises more pixels than its file can hold is refused."""
    _expect_file(path)
    image = Image.open(path)
    most = path.stat().st_size * _MOST_PIXELS_OF_A_BYTE.get(image.format or "", image.width * image.height)
    if image.width * image.height > most:
        image.close()
        raise ValueError(
            f"its header promises {image.width} x {image.height} pixels, more than its {path.stat().st_size} bytes hold"
        )
    return image


def _expect_file(path: Path) -> None:
    if not is_file(path):
        raise ValueError("there is no such file")
