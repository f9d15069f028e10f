"""Reading images and label maps from PNG, JPEG, TIFF, BMP and NumPy files; every error names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from sam_ft.data.pixels import AS_IT_IS, PixelRule
from sam_ft.data.tiff_files import TIFF_SUFFIXES, open_tiff_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")
_UNREADABLE = (UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError)
_BITS_PER_SAMPLE = 258
"""Tag of TIFF 6.0."""
_COLOURS_OR_ALPHA = (2, 4, 6)
"""Colour types of PNG with more than one channel."""


def read_image(path: Path, rule: PixelRule = AS_IT_IS) -> np.ndarray:
    """(H, W, 3) uint8 RGB; grey is repeated, a palette resolved; depth and channels are as the rule says.

    Raises:
        ValueError: The file cannot be decoded, or its channels are not those of the rule.
    """
    unknown: Literal["pages", "channels"] = "pages" if rule.channels is None else "channels"
    return rule.picture(_decode(path, unknown=unknown), path=path)


def read_label_map(path: Path) -> np.ndarray:
    """(H, W) integers: 0 is background, every other value one object.

    Raises:
        ValueError: The file cannot be decoded, holds colours, or values that are no integers of 0 and above.
    """
    return as_label_map(_decode(path, as_indices=True), path=path)


def as_label_map(labels: np.ndarray, *, path: Path) -> np.ndarray:
    """The pixels of a file as integers; raises as `read_label_map`."""
    if labels.ndim != 2:
        raise ValueError(f"Expected one channel of object numbers in {path}, but its shape is {labels.shape}.")
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        if not (labels == np.rint(labels)).all():
            raise ValueError(f"Expected whole object numbers in {path}, but got {labels.dtype} with fractions.")
        labels = labels.astype(np.int64)
    if labels.size and int(labels.min()) < 0:
        raise ValueError(f"Expected object numbers of 0 (background) and above in {path}, but got {labels.min()}.")
    return labels


def object_values(labels: np.ndarray, *, min_area_px: int) -> np.ndarray:
    """(N,) the numbers of the objects in a label map that have at least this area."""
    values, areas = np.unique(labels, return_counts=True)
    return values[(values != 0) & (areas >= min_area_px)]


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header; its pixels are not decoded.

    Raises:
        ValueError: The file cannot be read.
    """
    if _needs_tifffile(path):
        return open_tiff_image(path, unknown="channels").size
    try:
        if path.suffix.lower() == ".npy":
            height, width = np.load(path, mmap_mode="r", allow_pickle=False).shape[:2]
            return height, width
        with Image.open(path) as image:
            return image.height, image.width
    except _UNREADABLE as err:
        raise ValueError(f"Expected an image in {path}, but it cannot be decoded: {err}") from err


def stored_pixels(path: Path, *, as_indices: bool = False) -> np.ndarray:
    """The file's pixels in the type and with the channels that it stores, nothing scaled.

    Args:
        path: Of the file.
        as_indices: Whether a palette image is read as its indices, as a label map is; otherwise as colours.

    Raises:
        ValueError: The file cannot be decoded, or holds several pages.
    """
    return _decode(path, as_indices=as_indices)


def _decode(path: Path, *, as_indices: bool = False, unknown: Literal["pages", "channels"] = "pages") -> np.ndarray:
    """The file's pixels, all of its bits; those of a palette image as colours, or as the indices themselves."""
    if _needs_tifffile(path):
        found = open_tiff_image(path, unknown=unknown)
        if unknown == "pages":
            found.expect_shown_whole()
        return found.picture(0)
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"it holds {getattr(image, 'n_frames', 1)} pages, expected one")
            if image.mode == "P" and not as_indices:
                return np.array(image.convert("RGB"))
            if image.format == "PNG" and _is_deep_png(path):
                return _read_deep_png(path)
            return np.array(image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else image)
    except _UNREADABLE as err:
        raise ValueError(f"Expected an image in {path}, but it cannot be decoded: {err}") from err


def _needs_tifffile(path: Path) -> bool:
    """Whether Pillow cannot read a TIFF file at all, not all of its pages, or not all of its bits."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return False
    try:
        with Image.open(path) as image:
            bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
            return getattr(image, "n_frames", 1) > 1 or (len(bits) > 1 and max(bits) > 8)
    except UnidentifiedImageError:
        return True
    except _UNREADABLE as err:
        raise ValueError(f"Expected an image in {path}, but it cannot be decoded: {err}") from err


def _is_deep_png(path: Path) -> bool:
    """Whether a PNG file has 16 bits in several channels, of which Pillow keeps 8 (PNG specification, 11.2.1)."""
    with path.open("rb") as file:
        header = file.read(26)
    return header[24] == 16 and header[25] in _COLOURS_OR_ALPHA


def _read_deep_png(path: Path) -> np.ndarray:
    """(H, W, 3 or 4) uint16."""
    import cv2  # comes with Albumentations

    pixels = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3:
        raise ValueError("its 16 bits cannot be decoded")
    return pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
