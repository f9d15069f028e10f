"""Images as users hold them, as the model sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam_ft.data.pixels import AS_IT_IS


def as_rgb(image: np.ndarray, image_format: str = "RGB") -> np.ndarray:
    """An image as (H, W, 3) uint8 RGB.

    Args:
        image: (H, W, 3) uint8; (H, W) or (H, W, 1), grey; (H, W, 4), whose alpha channel is left out; 16 bits or
            floating point, shown from their 0.5 to their 99.5 percentile.
        image_format: "RGB" or "BGR", the order of the channels.

    Raises:
        ValueError: another format, shape or type.
    """
    if image_format not in ("RGB", "BGR"):
        raise ValueError(f"Expected `image_format` to be RGB or BGR, but got {image_format!r}.")
    pixels = AS_IT_IS.picture(np.asarray(image), path=Path("`image`"))
    if image_format == "BGR":
        pixels = pixels[..., ::-1]
    return np.require(pixels, requirements=["C", "W"])  # PyTorch shares memory only with what may be written
