"""Cutting a feature map into square windows and putting it together again."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def partition(x: Tensor, window_size: int) -> Tensor:
    """Non-overlapping windows, the map padded with zeros at the bottom and on the right where they do not fit.

    (B, h, w, C) -> (B * windows, window_size, window_size, C).
    """
    batch, height, width, channels = x.shape
    x = F.pad(x, (0, 0, 0, -width % window_size, 0, -height % window_size))
    rows, columns = x.shape[1] // window_size, x.shape[2] // window_size
    x = x.view(batch, rows, window_size, columns, window_size, channels)
    x = x.permute(0, 1, 3, 2, 4, 5)  # (B, rows, columns, s, s, C)
    return x.reshape(-1, window_size, window_size, channels)  # (B * windows, s, s, C)


def merge(windows: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of `partition`: (B * windows, s, s, C) -> (B, h, w, C) for `size` (h, w), the padding cut away."""
    height, width = size
    window_size, channels = windows.shape[1], windows.shape[3]
    rows, columns = -(-height // window_size), -(-width // window_size)
    x = windows.view(-1, rows, columns, window_size, window_size, channels)
    x = x.permute(0, 1, 3, 2, 4, 5)  # (B, rows, s, columns, s, C)
    x = x.reshape(-1, rows * window_size, columns * window_size, channels)  # (B, padded h, padded w, C)
    return x[:, :height, :width]
