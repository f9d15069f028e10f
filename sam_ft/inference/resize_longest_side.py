"""Coordinates and images as scripts for segment_anything bring them to the model's frame."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from sam_ft.transforms import Frame


class ResizeLongestSide:
    """Resizes by the longest side, under the names and with the results of segment_anything's class.

    Coordinates are multiplied by the ratio of the sizes and nothing else, unlike `Frame`'s, which count from a pixel's
    middle: what scripts and published weights expect of a predictor.

    Args:
        target_length: the longest side afterwards, in pixels.

    Source: segment_anything, `utils/transforms.py`.
    """

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def get_preprocess_shape(self, oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """(height, width) of an image of such a size afterwards; never below 1 pixel."""
        return Frame((oldh, oldw), long_side_length).input_size

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> the same resized (bilinear, antialiased)."""
        height, width = self.get_preprocess_shape(image.shape[0], image.shape[1], self.target_length)
        resized = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
        return np.array(resized)

    def apply_coords(self, coords: np.ndarray, original_size: tuple[int, ...]) -> np.ndarray:
        """(..., 2) points (x, y) of an image of `original_size` (height, width) -> the same in the frame, float64."""
        return np.asarray(coords, dtype=np.float64) * self._scale_xy(original_size)

    def apply_boxes(self, boxes: np.ndarray, original_size: tuple[int, ...]) -> np.ndarray:
        """(..., 4) boxes (x0, y0, x1, y1) -> (N, 4) of the frame, float64."""
        return self.apply_coords(np.asarray(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """(B, C, H, W) float -> the same resized by PyTorch, which differs a little from `apply_image`."""
        size = self.get_preprocess_shape(image.shape[2], image.shape[3], self.target_length)
        return functional.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)

    def apply_coords_torch(self, coords: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """(..., 2) points (x, y) of an image of `original_size` (height, width) -> the same in the frame, float32."""
        return coords.to(torch.float32) * coords.new_tensor(self._scale_xy(original_size), dtype=torch.float32)

    def apply_boxes_torch(self, boxes: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """(..., 4) boxes (x0, y0, x1, y1) -> (N, 4) of the frame, float32."""
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def _scale_xy(self, original_size: tuple[int, ...]) -> tuple[float, float]:
        height, width = original_size
        new_height, new_width = self.get_preprocess_shape(height, width, self.target_length)
        return new_width / width, new_height / height
