"""SAM's image encoder: a plain ViT with windowed attention in most blocks, global attention in a few, and a neck.

Source: Kirillov et al. 2023 (SAM), section 3; Li et al. 2022 (ViTDet). Parameter names are segment_anything's.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sam_ft.models import windows
from sam_ft.models.attention import attend
from sam_ft.models.layers import FeedForward, LayerNorm2d
from sam_ft.models.position import relative_position_bias


class ImageEncoder(nn.Module):
    """(B, 3, S, S) -> (B, out_channels, S / patch_size, S / patch_size)."""

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        num_heads: int,
        global_attention_blocks: tuple[int, ...],
        window_size: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        if image_size < patch_size or image_size % patch_size:
            raise ValueError(f"Expected `image_size` to be a positive multiple of {patch_size}, but got {image_size}.")
        if any(not 0 <= index < depth for index in global_attention_blocks):
            raise ValueError(
                f"Expected `global_attention_blocks` between 0 and {depth - 1}, but got {global_attention_blocks}."
            )
        self.image_size = self.img_size = image_size  # the second is segment_anything's name
        self.checkpoint_blocks = False  # for a gradient: keep only each block's input, and compute the block again
        grid_size = image_size // patch_size
        self.patch_embed = PatchEmbedding(patch_size, width)
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, grid_size, grid_size, width), std=0.02))
        self.blocks = nn.ModuleList(
            GlobalBlock(width, num_heads, grid_size=grid_size)
            if index in global_attention_blocks
            else WindowedBlock(width, num_heads, window_size=window_size)
            for index in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(width, out_channels, kernel_size=1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )
        self.apply(_initialise_linear)

    def forward(self, images: Tensor) -> Tensor:
        """Embed normalised frames."""
        return self._finish(self._through(0, len(self.blocks), self._patches(images)))

    def with_early_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding, and what the first block with global attention puts out: (B, C, h, w), C the encoder's width.

        Raises:
            ValueError: no block has global attention.
        """
        end = self.first_global_block() + 1
        early = self._through(0, end, self._patches(images))
        features = self._finish(self._through(end, len(self.blocks), early))
        return features, early.permute(0, 3, 1, 2)

    def first_global_block(self) -> int:
        """Its index.

        Raises:
            ValueError: there is none.
        """
        for index, block in enumerate(self.blocks):
            if not isinstance(block, WindowedBlock):
                return index
        raise ValueError("Expected an image encoder with a block of global attention, but all are windowed.")

    def _patches(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1:] != (3, self.image_size, self.image_size):
            raise ValueError(
                f"Expected `images` (B, 3, {self.image_size}, {self.image_size}), but got {tuple(images.shape)}."
            )
        return self.patch_embed(images) + self.pos_embed  # (B, h, w, C)

    def _through(self, begin: int, end: int, x: Tensor) -> Tensor:
        for block in self.blocks[begin:end]:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpoint_blocks else block(x)
        return x  # (B, h, w, C)

    def _finish(self, x: Tensor) -> Tensor:
        return self.neck(x.permute(0, 3, 1, 2))  # (B, out_channels, h, w)

    def set_drop_path(self, rate: float) -> None:
        """Let images skip residual branches in training: never those of the first block, with `rate` of the last.

        Raises:
            ValueError: `rate` is not in [0, 1).

        Source: Huang et al. 2016 (stochastic depth), section 3, linear decay; SAM, appendix A.
        """
        if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f"Expected `drop_path` in [0, 1), but got {rate!r}.")
        blocks = blocks_of(self)
        for index, block in enumerate(blocks):
            block.drop_path = rate * index / max(len(blocks) - 1, 1)


class PatchEmbedding(nn.Module):
    """Each patch of pixels becomes one vector."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, h, w, C)."""
        return self.proj(images).permute(0, 2, 3, 1)


class GlobalBlock(nn.Module):
    """A pre-norm transformer block in which every position attends to every other."""

    def __init__(self, width: int, num_heads: int, *, grid_size: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = GridAttention(width, num_heads, grid_size=grid_size)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = FeedForward(width, 4 * width, activation=nn.GELU())
        self.adapter: nn.Module | None = None  # beside the perceptron: see sam_ft.models.adapt.adapter
        self.drop_path = 0.0

    def attend(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        return self.attn(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        x = x + self._drop(self.attend(self.norm1(x)))
        normed = self.norm2(x)
        branch = self.mlp(normed) if self.adapter is None else self.mlp(normed) + self.adapter(normed)
        return x + self._drop(branch)

    def _drop(self, branch: Tensor) -> Tensor:
        """What a residual branch adds: in training nothing to some of the images, and more to the others for it."""
        if not self.training or not self.drop_path:
            return branch
        keep = 1 - self.drop_path
        kept = torch.rand(len(branch), 1, 1, 1, device=branch.device) < keep
        return branch * kept / keep


class WindowedBlock(GlobalBlock):
    """The same block with attention inside square windows only."""

    def __init__(self, width: int, num_heads: int, *, window_size: int) -> None:
        super().__init__(width, num_heads, grid_size=window_size)
        self.window_size = window_size

    def attend(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        cut = windows.partition(x, self.window_size)
        return windows.merge(self.attn(cut), (x.shape[1], x.shape[2]))


class GridAttention(nn.Module):
    """Multi-head attention among the cells of a square grid, with decomposed relative positions."""

    def __init__(self, width: int, num_heads: int, *, grid_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid_size - 1, width // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid_size - 1, width // num_heads))

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        batch, height, width, channels = x.shape
        qkv = self.qkv(x).view(batch, height * width, 3, self.num_heads, channels // self.num_heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, h * w, d)
        bias = relative_position_bias(queries, self.rel_pos_h, self.rel_pos_w, (height, width))
        attended = attend(queries, keys, values, mask=bias)
        attended = attended.transpose(1, 2).reshape(batch, height, width, channels)  # (B, h, w, C)
        return self.proj(attended)


def _initialise_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def blocks_of(encoder: ImageEncoder) -> list[GlobalBlock]:
    """The blocks from the first to the last, with their type."""
    return [cast(GlobalBlock, block) for block in encoder.blocks]
