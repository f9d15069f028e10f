"""SAM's prompt encoder: points and boxes become tokens, masks become a feature map.

Source: Kirillov et al. 2023 (SAM), section 3 and appendix A. Parameter names are segment_anything's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from sam_ft.models.layers import LayerNorm2d
from sam_ft.models.position import FourierPosition
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, NOT_A_POINT, Prompts


@dataclass(frozen=True)
class DensePrompt:
    """What each of N objects adds to the features of its image, in all P of its cells: `small @ lift + offset`.

    A mask prompt has few channels until its last layer, and most of what is done with it is cheaper in these.
    """

    small: Tensor | None  # (B, N, P, c): zero for objects without a mask; None where no object has any
    lift: Tensor  # (c, C)
    offset: Tensor  # (B or 1, N or 1, 1, C)

    def whole(self) -> Tensor:
        """(B or 1, N or 1, P or 1, C)."""
        return self.offset if self.small is None else self.small @ self.lift + self.offset


@dataclass(frozen=True)
class PromptEmbedding:
    """The prompts of N objects on each of B images, embedded."""

    sparse: Tensor  # (B, N, T, C): zero where absent
    present: Tensor  # (B, N, T) bool: the tokens that may be attended to
    dense: DensePrompt

    def portions(self, size: int) -> Iterator[PromptEmbedding]:
        """The same of so many objects at a time."""
        if size >= self.present.shape[1]:
            yield self
            return
        dense = self.dense
        for first in range(0, self.present.shape[1], size):
            some = slice(first, first + size)
            offset = dense.offset if dense.offset.shape[1] == 1 else dense.offset[:, some]
            small = None if dense.small is None else dense.small[:, some]
            yield PromptEmbedding(
                self.sparse[:, some], self.present[:, some], replace(dense, small=small, offset=offset)
            )


class PromptEncoder(nn.Module):
    """Embeds points, boxes and low-resolution mask logits.

    A mask prompt has four times the resolution of the image embedding a side.
    """

    def __init__(self, *, width: int, image_size: int, embedding_size: int, mask_channels: int = 16) -> None:
        super().__init__()
        self.image_size = image_size
        self.embedding_size = embedding_size
        self.pe_layer = FourierPosition(width)
        # background point, foreground point, top left corner, bottom right corner
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, kernel_size=2, stride=2),
            LayerNorm2d(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, width, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, width)

    def image_pe(self) -> Tensor:
        """The positions of the image embedding's cells: (C, h, w)."""
        return self.pe_layer.grid((self.embedding_size, self.embedding_size))

    def forward(self, prompts: Prompts) -> PromptEmbedding:
        """Embed the prompts of one call."""
        tokens, present = [], []
        if prompts.points is not None and prompts.labels is not None:
            points, labels = self._with_padding_token(prompts.points, prompts.labels, prompts)
            tokens.append(self._embed_points(points, labels))
            present.append(labels != ABSENT)
        if prompts.boxes is not None:
            tokens.append(self._embed_boxes(prompts.boxes))
            has_box = given(prompts.boxes, prompts.has_box)
            present.append(has_box[..., None].expand(*has_box.shape, 2))
        if not tokens and prompts.masks is not None:
            batch, objects = prompts.masks.shape[:2]
            tokens.append(prompts.masks.new_zeros(batch, objects, 0, self.no_mask_embed.embedding_dim))
            present.append(torch.zeros(batch, objects, 0, dtype=torch.bool, device=prompts.masks.device))
        mask = torch.cat(present, dim=2)
        sparse = torch.cat(tokens, dim=2).masked_fill(~mask[..., None], 0.0)
        return PromptEmbedding(sparse=sparse, present=mask, dense=self._embed_masks(prompts))

    def without_prompts(self, batch: int) -> PromptEmbedding:
        """No prompt at all, for one object on each of B images: no tokens, and the dense embedding of no mask."""
        sparse = self.no_mask_embed.weight.new_zeros(batch, 1, 0, self.no_mask_embed.embedding_dim)
        return PromptEmbedding(
            sparse=sparse,
            present=torch.zeros(batch, 1, 0, dtype=torch.bool, device=sparse.device),
            dense=self._no_mask(),
        )

    def _with_padding_token(self, points: Tensor, labels: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """SAM appends its not-a-point token to an object's points unless the object also has a box.

        (B, N, K, 2), (B, N, K) -> (B, N, K + 1, 2), (B, N, K + 1).
        """
        needs_padding = (labels != ABSENT).any(dim=-1, keepdim=True)  # (B, N, 1)
        if prompts.boxes is not None:
            needs_padding = needs_padding & ~given(prompts.boxes, prompts.has_box)[..., None]
        padding = torch.where(needs_padding, NOT_A_POINT, ABSENT).to(labels.dtype)
        origin = points.new_zeros(*points.shape[:2], 1, 2)  # has no meaning: the token has no position
        return torch.cat([points, origin], dim=2), torch.cat([labels, padding], dim=2)

    def _embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """(B, N, K, 2), (B, N, K) -> (B, N, K, C)."""
        labels = labels[..., None]  # (B, N, K, 1)
        embedded = self._positions(points).masked_fill(labels == NOT_A_POINT, 0.0)
        embedded = embedded + (labels == NOT_A_POINT) * self.not_a_point_embed.weight
        embedded = embedded + (labels == BACKGROUND) * self._point_embedding(0)
        return embedded + (labels == FOREGROUND) * self._point_embedding(1)

    def _embed_boxes(self, boxes: Tensor) -> Tensor:
        """(B, N, 4) -> (B, N, 2, C), the two corners."""
        corners = torch.cat([self._point_embedding(2), self._point_embedding(3)])  # (2, C)
        return self._positions(boxes.unflatten(-1, (2, 2))) + corners

    def _point_embedding(self, index: int) -> Tensor:
        """What one kind of point adds to its position: (1, C)."""
        return cast(nn.Embedding, self.point_embeddings[index]).weight

    def _positions(self, points_xy: Tensor) -> Tensor:
        """Pixel indices of the frame -> embedded positions of those pixels' centres."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        return self.pe_layer((points_xy.to(matrix.dtype) + 0.5) / self.image_size)

    def _embed_masks(self, prompts: Prompts) -> DensePrompt:
        size = self.embedding_size
        if prompts.masks is None:
            return self._no_mask()
        if prompts.masks.shape[-2:] != (4 * size, 4 * size):
            raise ValueError(
                f"Expected mask prompts of {4 * size}x{4 * size} for a model of image size {self.image_size}, "
                f"but got {prompts.masks.shape[-2]}x{prompts.masks.shape[-1]}."
            )
        small = self.mask_downscaling[:-1](prompts.masks.flatten(0, 1)[:, None])  # (B * N, c, h, w)
        small = small.flatten(2).transpose(1, 2).unflatten(0, prompts.masks.shape[:2])  # (B, N, h * w, c)
        last = cast(nn.Conv2d, self.mask_downscaling[-1])  # of kernel 1: a linear map of each cell
        offset = cast(Tensor, last.bias)[None, None, None]
        if prompts.has_mask is not None:
            has_mask = prompts.has_mask[..., None, None]
            small = small.masked_fill(~has_mask, 0.0)
            offset = torch.where(has_mask, offset, self.no_mask_embed.weight)
        return DensePrompt(small=small, lift=last.weight.flatten(1).T, offset=offset)

    def _no_mask(self) -> DensePrompt:
        last = cast(nn.Conv2d, self.mask_downscaling[-1])
        return DensePrompt(small=None, lift=last.weight.flatten(1).T, offset=self.no_mask_embed.weight[None, None])


def given(prompt: Tensor, has_prompt: Tensor | None) -> Tensor:
    """Which objects have this kind of prompt: (B, N) bool."""
    if has_prompt is not None:
        return has_prompt
    return torch.ones(prompt.shape[:2], dtype=torch.bool, device=prompt.device)
