"""Reading images and label maps from PNG, JPEG, TIFF, BMP and NumPy files; every error names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from sam_ft.data.label_maps import as_label_map
from sam_ft.data.numpy_files import npy_header, read_npy
from sam_ft.data.pillow_files import expect_upright_file, opened, pixels_of, tiff_is_beyond_pillow
from sam_ft.data.pixels import AS_IT_IS, PixelRule
from sam_ft.data.tiff_files import TIFF_SUFFIXES, open_tiff_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")


def read_image(path: Path, rule: PixelRule = AS_IT_IS) -> np.ndarray:
    """(H, W, 3) uint8 RGB; grey is repeated, a palette resolved; depth and channels are as the rule says.

    Raises:
        ValueError: The file cannot be decoded, viewers turn it, or its channels are not those of the rule.
    """
    return rule.picture(stored_pixels(path, rule), path=path)


def read_label_map(path: Path) -> np.ndarray:
    """(H, W) integers: 0 is background, every other value one object.

    Raises:
        ValueError: The file cannot be decoded, holds colours, or values that are no integers of 0 and above.
    """
    return as_label_map(_decode(path, as_indices=True), path=path)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header; its pixels are not decoded.

    Raises:
        ValueError: The file cannot be read, or viewers turn it.
    """
    if path.suffix.lower() == ".npy":
        shape = npy_header(path).shape
        if len(shape) < 2:
            raise ValueError(f"Expected an image (height, width, channels) in {path}, but its shape is {shape}.")
        return shape[0], shape[1]
    if _needs_tifffile(path):
        return open_tiff_image(path, unknown="channels").size
    expect_upright_file(path)
    with opened(path) as image:
        return image.height, image.width


def stored_pixels(path: Path, rule: PixelRule = AS_IT_IS, *, as_indices: bool = False) -> np.ndarray:
    """The file's pixels in the type and with the channels that it stores, nothing scaled.

    Args:
        path: Of the file.
        rule: Where it chooses channels, several pages of a TIFF file may be them.
        as_indices: Whether a palette image is read as its indices, as a label map is; otherwise as colours.

    Raises:
        ValueError: The file cannot be decoded, or holds several pages.
    """
    unknown: Literal["pages", "channels"] = "pages" if rule.channels is None else "channels"
    return _decode(path, as_indices=as_indices, unknown=unknown)


def _decode(path: Path, *, as_indices: bool = False, unknown: Literal["pages", "channels"] = "pages") -> np.ndarray:
    """The file's pixels, all of its bits; those of a palette image as colours, or as the indices themselves."""
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    if _needs_tifffile(path):
        found = open_tiff_image(path, unknown=unknown)
        if unknown == "pages":
            found.expect_shown_whole()
        return found.picture(0)
    expect_upright_file(path)
    return pixels_of(path, as_indices=as_indices)


def _needs_tifffile(path: Path) -> bool:
    return path.suffix.lower() in TIFF_SUFFIXES and tiff_is_beyond_pillow(path)
