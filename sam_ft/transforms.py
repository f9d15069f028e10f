"""From a source image to the model's square frame and back, and from raw intensities to 8 bits.

A `Frame` says how one source image lies in the frame: its longest side resized to `image_size`, the rest padded
with zeros at the bottom and on the right. It maps pixels, points, boxes and masks in and brings predictions out.
The intensity functions work on NumPy arrays of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""RGB mean of SAM's pre-training (segment_anything, `build_sam.py`)."""
PIXEL_STD = (58.395, 57.12, 57.375)
"""RGB standard deviation of SAM's pre-training (segment_anything, `build_sam.py`)."""

CT_WINDOWS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "abdomen": (40.0, 400.0),
        "bone": (400.0, 1800.0),
        "brain": (40.0, 80.0),
        "liver": (30.0, 150.0),
        "lung": (-600.0, 1500.0),
        "mediastinum": (50.0, 350.0),
        "stroke": (32.0, 8.0),
        "subdural": (75.0, 215.0),
        "vessels": (200.0, 600.0),
    }
)
"""(level, width) in HU.

Source: radiopaedia.org, "Windowing (CT)", the middle where that gives a range; abdomen (level 40, not 50) as in
MedSAM's `pre_CT_MR.py`. MedSAM's lung level of -160 is not followed: lung tissue would be black.
"""


@dataclass(frozen=True)
class Frame:
    """How one source image lies in the model's square input.

    Points and boxes are indices of pixels, as `boxes_of_masks` and `centre_point` give them: a pixel's centre lies
    half a pixel on, and a box covers its last pixel too. So prompts of a mask, brought to the frame, are those of the
    mask brought to the frame. (ResizeLongestSide scales the index alone, which moves the prompts of a small image
    that is enlarged much towards the origin.)

    Source: segment_anything, `utils/transforms.py` (ResizeLongestSide) and `modeling/sam.py` (preprocess,
    postprocess_masks).
    """

    source_size: tuple[int, int]  # (height, width)
    image_size: int

    def __post_init__(self) -> None:
        if min(self.source_size) < 1 or self.image_size < 1:
            raise ValueError(
                f"Expected `source_size` and `image_size` of at least 1 pixel, "
                f"but got {self.source_size} and {self.image_size}."
            )

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the resized image inside the frame, before padding; never below 1 pixel."""
        height, width = self.source_size
        scale = self.image_size / max(height, width)
        return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)

    def points_to_frame(self, points_xy: Tensor) -> Tensor:
        """(..., 2) pixels of the source -> the same points in the frame, in floating point."""
        return (_floating(points_xy) + 0.5) * self._scale_xy(points_xy) - 0.5

    def points_to_source(self, points_xy: Tensor) -> Tensor:
        """(..., 2) pixels of the frame -> the same points in the source: the inverse of `points_to_frame`."""
        return (_floating(points_xy) + 0.5) / self._scale_xy(points_xy) - 0.5

    def boxes_to_frame(self, boxes_xyxy: Tensor) -> Tensor:
        """(..., 4) first and last pixel of boxes in the source -> the same in the frame, in floating point."""
        first, last = _floating(boxes_xyxy).split(2, dim=-1)
        scale = self._scale_xy(boxes_xyxy)
        return torch.cat([first * scale, (last + 1) * scale - 1], dim=-1)  # (..., 4)

    def boxes_to_source(self, boxes_xyxy: Tensor) -> Tensor:
        """(..., 4) first and last pixel of boxes in the frame -> the same in the source, as `boxes_to_frame`."""
        first, last = _floating(boxes_xyxy).split(2, dim=-1)
        scale = self._scale_xy(boxes_xyxy)
        return torch.cat([first / scale, (last + 1) / scale - 1], dim=-1)  # (..., 4)

    def image_to_frame(self, image: Tensor) -> Tensor:
        """(H, W, 3) uint8 RGB -> (3, S, S) float32: resized (bilinear, antialiased), normalised, padded with zeros."""
        if image.dtype != torch.uint8 or tuple(image.shape) != (*self.source_size, 3):
            raise ValueError(
                f"Expected `image` {(*self.source_size, 3)} of uint8, but got {tuple(image.shape)} of {image.dtype}."
            )
        height, width = self.input_size
        resized = Image.fromarray(image.numpy(force=True)).resize((width, height), Image.Resampling.BILINEAR)
        return self.normalised(torch.from_numpy(np.array(resized)).permute(2, 0, 1))  # (3, S, S)

    def normalised(self, resized: Tensor) -> Tensor:
        """(..., 3, h, w) RGB from 0 to 255 at `input_size` -> (..., 3, S, S) float32 as `image_to_frame` gives it."""
        pixels = resized.float()
        mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
        return self._pad((pixels - mean) / std)  # (..., 3, S, S)

    def masks_to_frame(self, masks: Tensor) -> Tensor:
        """(N, H, W) bool -> (N, S, S) bool by the nearest pixel centre; False in the padding; N may be 0."""
        if masks.dtype != torch.bool or masks.ndim != 3 or tuple(masks.shape[1:]) != self.source_size:
            raise ValueError(
                f"Expected `masks` (N, {self.source_size[0]}, {self.source_size[1]}) of bool, "
                f"but got {tuple(masks.shape)} of {masks.dtype}."
            )
        rows, columns = (
            nearest_indices(source, target).to(masks.device)
            for source, target in zip(self.source_size, self.input_size, strict=True)
        )
        return self._pad(masks[:, rows][:, :, columns])  # (N, S, S)

    def logits_to_source(self, low_res_logits: Tensor) -> Tensor:
        """(..., h, w) logits of the frame -> (..., H, W) logits at the source's resolution.

        Bilinear to the frame, the padding cropped away, bilinear to the source: segment_anything's
        postprocess_masks. Leading dimensions of size 0 stay empty.
        """
        leading = low_res_logits.shape[:-2]
        if 0 in leading:
            return low_res_logits.new_zeros((*leading, *self.source_size))
        logits = low_res_logits.reshape(1, -1, *low_res_logits.shape[-2:])  # (1, K, h, w)
        logits = _bilinear(logits, (self.image_size, self.image_size))  # (1, K, S, S)
        height, width = self.input_size
        logits = _bilinear(logits[..., :height, :width], self.source_size)  # (1, K, H, W)
        return logits.reshape(*leading, *self.source_size)

    def _scale_xy(self, like: Tensor) -> Tensor:
        (height, width), (source_height, source_width) = self.input_size, self.source_size
        return _floating(like).new_tensor([width / source_width, height / source_height])

    def _pad(self, pixels: Tensor) -> Tensor:
        height, width = self.input_size
        return functional.pad(pixels, (0, self.image_size - width, 0, self.image_size - height))


def nearest_indices(source_length: int, target_length: int) -> Tensor:
    """(target_length,) int64: which source pixel holds the centre of each target pixel.

    Enlarging and shrinking back by these indices gives the original exactly.
    """
    centres = torch.arange(target_length, dtype=torch.float64) + 0.5
    return (centres * source_length / target_length).long().clamp_(max=source_length - 1)


def window(values: np.ndarray, *, level: float, width: float) -> np.ndarray:
    """Intensities to uint8: `level - width / 2` becomes 0, `level + width / 2` becomes 255, the rest is clipped.

    Args:
        values: Any shape; HU for CT. What is not a number becomes 0.
        level: Middle of the window.
        width: Extent of the window.

    Raises:
        ValueError: `width` is not positive.

    Source: DICOM PS3.3 C.11.2.1.3.2 (LINEAR_EXACT).
    """
    if not (math.isfinite(level) and math.isfinite(width) and width > 0):
        raise ValueError(f"Expected a window `width` above 0, but got level {level} and width {width}.")
    scaled = (np.asarray(values, dtype=np.float32) - np.float32(level - width / 2)) * np.float32(255.0 / width)
    return np.rint(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0.0, 255.0)).astype(np.uint8)


def resolve_window(name_or_window: str | tuple[float, float] | list[float]) -> tuple[float, float]:
    """(level, width) of a preset in `CT_WINDOWS`, or the pair itself.

    Raises:
        ValueError: An unknown preset, or not a pair with a positive width.
    """
    if isinstance(name_or_window, str):
        if name_or_window not in CT_WINDOWS:
            raise ValueError(f"Expected `window` to be one of {', '.join(CT_WINDOWS)}, but got {name_or_window!r}.")
        return CT_WINDOWS[name_or_window]
    if len(name_or_window) != 2 or not float(name_or_window[1]) > 0:
        raise ValueError(f"Expected `window` to be a pair (level, width > 0), but got {list(name_or_window)}.")
    return float(name_or_window[0]), float(name_or_window[1])


def foreground_mask(values: np.ndarray) -> np.ndarray:
    """Which values are finite and not background: bool, of the array's shape.

    Background is the one value that at least half of the array's corners share (0 around a brain, -1024 around a
    CT's circle, the constant of a normalised volume); an array whose corners differ has none. An array that is
    background throughout counts as foreground.
    """
    finite: np.ndarray = np.isfinite(values)
    corners = values[np.ix_(*([0, -1] for _ in values.shape))].ravel()
    candidates, counts = np.unique(corners[np.isfinite(corners)], return_counts=True)
    if not len(counts) or counts.max() < len(corners) / 2:
        return finite
    foreground: np.ndarray = values != candidates[counts.argmax()]
    foreground &= finite
    return foreground if foreground.any() else finite


def percentile_range(values: np.ndarray, *, lower: float = 0.5, upper: float = 99.5) -> tuple[float, float]:
    """The intensities (low, high) at two percentiles of the foreground of a WHOLE volume.

    Taken per volume, not per slice, so that one tissue keeps one brightness in all slices. Where the two
    coincide (a foreground of one value), the smallest and largest value of the volume.

    Raises:
        ValueError: No finite value, or percentiles that are not 0 <= lower < upper <= 100.

    Source: MedSAM, `pre_CT_MR.py` (0.5 and 99.5 percentiles of the foreground for all but CT).
    """
    return _range_of(values, foreground_mask(values), lower=lower, upper=upper)


def image_range(values: np.ndarray, *, lower: float = 0.5, upper: float = 99.5) -> tuple[float, float]:
    """The intensities (low, high) at two percentiles of all finite values of an image.

    Nothing is taken for background, since what the corners of a picture show is chance. Where the two coincide (nearly
    all of one value), the smallest and the largest value.

    Raises:
        ValueError: As `percentile_range`.
    """
    return _range_of(values, np.isfinite(values), lower=lower, upper=upper)


def _range_of(values: np.ndarray, counted: np.ndarray, *, lower: float, upper: float) -> tuple[float, float]:
    if not 0 <= lower < upper <= 100:
        raise ValueError(f"Expected percentiles 0 <= lower < upper <= 100, but got {lower} and {upper}.")
    if not counted.any():
        raise ValueError("Expected at least one finite intensity, but got none.")
    low, high = _percentiles(values[counted], np.array([lower, upper]))
    if low == high:
        finite = values[np.isfinite(values)]
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def rescale(values: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Intensities to uint8: `low` becomes 0 and `high` 255, clipped; all 0 where `low` equals `high`."""
    if not high > low:
        return np.zeros(values.shape, dtype=np.uint8)
    return window(values, level=(low + high) / 2, width=high - low)


def _percentiles(values: np.ndarray, percents: np.ndarray) -> np.ndarray:
    """`numpy.percentile` of (K,) values, which it leaves in another order.

    Between two integers it is interpolated in float64: in int16, as numpy does it, 30000 - (-30000) overflows.
    """
    if not np.issubdtype(values.dtype, np.integer):
        return np.asarray(np.percentile(values, percents, overwrite_input=True))
    places = percents / 100 * (len(values) - 1)
    before = np.floor(places).astype(np.intp)
    after = np.minimum(before + 1, len(values) - 1)
    values.partition(np.unique([before, after]))
    smaller, larger, share = values[before].astype(np.float64), values[after].astype(np.float64), places - before
    apart = larger - smaller
    return np.where(share < 0.5, smaller + apart * share, larger - apart * (1 - share))


def _floating(values: Tensor) -> Tensor:
    return values if values.is_floating_point() else values.to(torch.get_default_dtype())


def _bilinear(logits: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(logits.shape[-2:]) == size:
        return logits
    return functional.interpolate(logits, size, mode="bilinear", align_corners=False)
