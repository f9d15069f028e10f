"""From the pixels of one image to the facts that are kept of it."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image
from scipy import ndimage

from sam_ft.doctor.seen import ImageFacts

FINGERPRINT_SIDE = 32
_MOST_LEVELS = 257
_SAMPLED = 1 << 20
"""Values of 32 bits and more among which the levels are counted."""
_LEAST_STRUCTURE = 1.0
"""Standard deviation, of 255, of a fingerprint's pixels below which there is nothing to compare."""


def image_facts(pixels: np.ndarray, *, picture: np.ndarray | None) -> ImageFacts:
    """The facts of an image or volume.

    Args:
        pixels: (H, W), (H, W, C) or (X, Y, Z) as the file stores them.
        picture: (H, W, 3) uint8 as a model sees it, for the fingerprint; None for no fingerprint (a volume).
    """
    is_float = np.issubdtype(pixels.dtype, np.floating)
    finite = pixels[np.isfinite(pixels)] if is_float else pixels.reshape(-1)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    is_colour = picture is not None and pixels.ndim == 3
    is_byte = pixels.dtype == np.uint8
    top = pixels == pixels.dtype.type(high)
    return ImageFacts(
        size=pixels.shape[:2] if picture is not None else pixels.shape,
        dtype=str(pixels.dtype),
        low=low,
        high=high,
        spread=_spread(pixels) if is_byte else None,
        num_levels=_num_levels(finite),
        at_top=float((top.all(axis=-1) if is_colour else top).mean()),
        num_not_finite=int(pixels.size - finite.size),
        is_wrapped=is_byte and _is_wrapped(pixels[..., 0] if is_colour else pixels),
        digest=_digest(pixels),
        fingerprint=None if picture is None else fingerprint(picture),
    )


def fingerprint(picture: np.ndarray) -> np.ndarray | None:
    """(1024,) float32 of length 1: what of a picture remains when it is resized or its brightness is changed.

    The picture is reduced to 32 x 32 grey pixels, of which a blurred copy is taken away, since many different images
    share their light and dark corners. The product of two fingerprints is the correlation of what is left.

    Returns:
        The fingerprint; None where nothing is left to compare.
    """
    grey = Image.fromarray(picture).convert("L").convert("F")
    small = np.array(grey.resize((FINGERPRINT_SIDE, FINGERPRINT_SIDE), Image.Resampling.BOX))
    structure = small - ndimage.gaussian_filter(small, sigma=4)
    structure -= structure.mean()
    if structure.std() < _LEAST_STRUCTURE:
        return None
    return (structure / np.linalg.norm(structure)).astype(np.float32).reshape(-1)


def _spread(pixels: np.ndarray) -> float:
    low, high = np.percentile(pixels, (0.5, 99.5))
    return float(high - low)


def _num_levels(values: np.ndarray) -> int:
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return min(int(np.count_nonzero(np.bincount(values))), _MOST_LEVELS)
    step = max(1, len(values) // _SAMPLED)
    return min(len(np.unique(values[::step])), _MOST_LEVELS)


def _digest(pixels: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{pixels.shape}{pixels.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _is_wrapped(grey: np.ndarray) -> bool:
    """Whether neighbours jump between black and white, through all greys, more often than by half as much.

    That happens where a brighter place begins again at black: the low byte of 16 bits. Pictures with black and white
    areas, such as text, jump too, but have much of both; here there is little of either.
    """
    if grey.ndim != 2 or grey.shape[1] < 2:
        return False
    jumps = np.abs(np.diff(grey.astype(np.int16), axis=1))
    far, middle = float((jumps >= 224).mean()), float(((jumps >= 96) & (jumps < 160)).mean())
    counts = np.bincount(grey.reshape(-1), minlength=256)
    ends = (counts[0] + counts[255]) / grey.size
    return bool(far > 0.002 and far > 3 * middle and ends < 0.1 and np.count_nonzero(counts) > 64)
