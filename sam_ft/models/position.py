"""Where things are: random Fourier positions of points and pixels, and relative positions inside attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FourierPosition(nn.Module):
    """Positions as sines and cosines of random projections (Tancik et al. 2020, as used by SAM)."""

    positional_encoding_gaussian_matrix: Tensor  # (2, C / 2)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, positions_xy: Tensor) -> Tensor:
        """(..., 2) positions between 0 and 1 -> (..., C)."""
        frequencies = 2 * math.pi * self.positional_encoding_gaussian_matrix
        x, y = (2 * positions_xy - 1).split(1, dim=-1)  # (..., 1) each
        # Not a matrix product: under autocast that would be bfloat16's, in which pixels next to each other are one.
        angles = x * frequencies[0] + y * frequencies[1]  # (..., C / 2)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (..., C)

    def grid(self, size: tuple[int, int]) -> Tensor:
        """The positions of the centres of a (h, w) grid of cells: (C, h, w)."""
        height, width = size
        matrix = self.positional_encoding_gaussian_matrix
        y = (torch.arange(height, device=matrix.device, dtype=matrix.dtype) + 0.5) / height
        x = (torch.arange(width, device=matrix.device, dtype=matrix.dtype) + 0.5) / width
        positions_xy = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (h, w, 2)
        return self(positions_xy).permute(2, 0, 1)


def relative_position_bias(queries: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor, size: tuple[int, int]) -> Tensor:
    """What every query adds to its attention to every key because of where they lie relative to each other.

    The bias is decomposed: one term for the distance in rows, one for that in columns (MViTv2, section 4.1; ViTDet).

    Args:
        queries: (B, heads, h * w, d), not yet scaled.
        rel_pos_h: (2 h - 1, d), row distances from -(h - 1) to h - 1.
        rel_pos_w: (2 w - 1, d).
        size: (h, w).

    Returns:
        (B, heads, h * w, h * w), to be handed to `attend` as its mask.

    Raises:
        ValueError: where a table's length does not fit the size.
    """
    height, width = size
    if len(rel_pos_h) != 2 * height - 1 or len(rel_pos_w) != 2 * width - 1:
        raise ValueError(
            f"Expected relative-position tables of {2 * height - 1} and {2 * width - 1} rows for a grid of {size}, "
            f"but got {len(rel_pos_h)} and {len(rel_pos_w)}."
        )
    batch, heads, area, depth = queries.shape
    grid = queries.view(batch, heads, height, width, depth)  # (B, heads, h, w, d)
    rows = torch.einsum("bnhwd,hkd->bnhwk", grid, rel_pos_h[_distances(height, rel_pos_h.device)]).contiguous()
    columns = torch.einsum("bnhwd,wkd->bnhwk", grid, rel_pos_w[_distances(width, rel_pos_w.device)]).contiguous()
    bias = rows[..., :, None] + columns[..., None, :]  # (B, heads, h, w, h, w)
    return bias.view(batch, heads, area, area)  # (B, heads, h * w, h * w)


def _distances(length: int, device: torch.device) -> Tensor:
    """Index of the distance between query i and key j in a table of 2 * length - 1 rows: (length, length)."""
    index = torch.arange(length, device=device)
    return index[:, None] - index[None, :] + length - 1
