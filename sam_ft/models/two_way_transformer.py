"""The mask decoder's transformer: prompt tokens attend to the image and the image attends back.

Source: Kirillov et al. 2023 (SAM), figure 14. Parameter names are segment_anything's; the arithmetic is arranged so
that B images with N objects each are one call:

- As long as the image's features are the same for all objects of an image (until the first image-to-token attention,
  unless there are mask prompts), they are projected once per image and all objects' tokens form one query axis.
- A projection is linear, so `project(features + positions)` is `project(features) + project(positions)`, and the
  positions are projected once per call.
- Image-to-token attention has many queries and few keys: its output projection is applied to the few values.

Shapes: tokens (B, N, T, C); image features (B, G, P, C), where P counts positions and G is 1 as long as the features
are shared by the N objects of an image, and N afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_ft.models.attention import attend
from sam_ft.models.layers import FeedForward

_SHARPNESS = 2.0
"""How much random queries are scaled at the start: attention between tokens and image then prefers near positions."""


class TwoWayTransformer(nn.Module):
    """Two-way layers, then a last attention from the tokens to the image."""

    def __init__(self, *, depth: int, width: int, num_heads: int, mlp_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayLayer(width, num_heads, mlp_width=mlp_width, is_first=index == 0) for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(width, num_heads, inner_width=width // 2)
        self.norm_final_attn = nn.LayerNorm(width)
        self.final_attn_token_to_image.start_alike()

    def forward(self, tokens: Tensor, present: Tensor, image: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Let tokens and image exchange what they know.

        Args:
            tokens: (B, N, T, C); they serve as their own positions.
            present: (B, N, T) bool; no one attends to a token that is not present.
            image: (B, G, P, C).
            image_pe: (P, C).

        Returns:
            The tokens (B, N, T, C) and the image features (B, N, P, C).
        """
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, token_pe, present, image, image_pe)
        attended = self.final_attn_token_to_image.tokens_to_image(tokens + token_pe, image, image_pe)
        return self.norm_final_attn(tokens + attended), image


class TwoWayLayer(nn.Module):
    """Self-attention of the tokens, tokens to image, a perceptron on the tokens, image to tokens."""

    def __init__(self, width: int, num_heads: int, *, mlp_width: int, is_first: bool) -> None:
        super().__init__()
        self.self_attn = Attention(width, num_heads, inner_width=width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, num_heads, inner_width=width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, mlp_width, activation=nn.ReLU())
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, num_heads, inner_width=width // 2)
        self.is_first = is_first
        self.cross_attn_token_to_image.start_alike()
        self.cross_attn_image_to_token.start_alike()

    def forward(
        self, tokens: Tensor, token_pe: Tensor, present: Tensor, image: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shapes as in `TwoWayTransformer.forward`."""
        if self.is_first:  # the tokens still are their own positions, and nothing is added to them
            tokens = self.self_attn.among_tokens(tokens, tokens, present)
        else:
            tokens = tokens + self.self_attn.among_tokens(tokens + token_pe, tokens, present)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image.tokens_to_image(tokens + token_pe, image, image_pe))
        tokens = self.norm3(tokens + self.mlp(tokens))
        attended = self.cross_attn_image_to_token.image_to_tokens(image, image_pe, tokens + token_pe, tokens, present)
        return tokens, self.norm4(image + attended)


class Attention(nn.Module):
    """Multi-head attention in the three forms that the two-way transformer needs."""

    def __init__(self, width: int, num_heads: int, *, inner_width: int) -> None:
        super().__init__()
        if inner_width % num_heads:
            raise ValueError(f"Expected an inner width that {num_heads} heads divide, but got {inner_width}.")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, inner_width)
        self.k_proj = nn.Linear(width, inner_width)
        self.v_proj = nn.Linear(width, inner_width)
        self.out_proj = nn.Linear(inner_width, width)

    def start_alike(self) -> None:
        """Give queries and keys the same random projection, for a start from random weights.

        Positions are part of both, and a random projection keeps how alike two of them are: from the first step a click
        looks at the image around it, and the image there at the click. Published weights replace both.
        """
        with torch.no_grad():
            self.k_proj.weight.copy_(self.q_proj.weight)
            self.q_proj.weight.mul_(_SHARPNESS)

    def among_tokens(self, queries_and_keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """Each object's tokens attend to each other: (B, N, T, C) -> (B, N, T, C)."""
        queries = self._heads(self.q_proj(queries_and_keys)).flatten(0, 1)  # (B * N, heads, T, d)
        keys = self._heads(self.k_proj(queries_and_keys)).flatten(0, 1)
        mask = present.flatten(0, 1)[:, None, None]  # (B * N, 1, 1, T)
        attended = attend(queries, keys, self._heads(self.v_proj(values)).flatten(0, 1), mask=mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2)).view_as(values)  # (B, N, T, C)

    def tokens_to_image(self, tokens: Tensor, image: Tensor, image_pe: Tensor) -> Tensor:
        """Tokens (B, N, T, C) attend to image features (B, G, P, C) with positions (P, C) -> (B, N, T, C)."""
        batch, groups = image.shape[:2]
        queries = self.q_proj(tokens).reshape(batch, groups, -1, self.q_proj.out_features)  # (B, G, N / G * T, d)
        keys = self.k_proj(image) + F.linear(image_pe, self.k_proj.weight)
        attended = attend(
            self._heads(queries).flatten(0, 1),
            self._heads(keys).flatten(0, 1),
            self._heads(self.v_proj(image)).flatten(0, 1),
        )  # (B * G, heads, N / G * T, d)
        attended = attended.transpose(1, 2).reshape(*tokens.shape[:3], -1)  # (B, N, T, heads * d)
        return self.out_proj(attended)

    def image_to_tokens(self, image: Tensor, image_pe: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """Image features (B, G, P, C) attend to each object's tokens (B, N, T, C) -> (B, N, P, C)."""
        batch, groups, positions = image.shape[:3]
        objects, num_tokens = keys.shape[1:3]
        queries = self.q_proj(image) + F.linear(image_pe, self.q_proj.weight)  # (B, G, P, heads * d)
        keys = self.k_proj(keys).reshape(batch, groups, -1, self.k_proj.out_features)  # (B, G, N / G * T, heads * d)
        scale = (self.k_proj.out_features // self.num_heads) ** -0.5
        scores = self._heads(queries * scale) @ self._heads(keys).transpose(-1, -2)  # (B, G, heads, P, N / G * T)
        scores = scores.view(batch, groups, self.num_heads, positions, objects // groups, num_tokens)
        scores = scores.permute(0, 1, 4, 3, 2, 5)  # (B, G, N / G, P, heads, T)
        scores = scores.reshape(batch, objects, positions, self.num_heads, num_tokens)  # (B, N, P, heads, T)
        scores = scores.masked_fill(~present[:, :, None, None], float("-inf"))
        weights = scores.softmax(dim=-1).flatten(3)  # (B, N, P, heads * T)
        attended = weights @ self._projected_values(values)
        return attended + self.out_proj.bias.to(attended.dtype)

    def _projected_values(self, values: Tensor) -> Tensor:
        """Each head's share of the output for each token: (B, N, T, C) -> (B, N, heads * T, C)."""
        per_head = self._heads(self.v_proj(values))  # (B, N, heads, T, d)
        weight = self.out_proj.weight.unflatten(1, (self.num_heads, -1)).permute(1, 2, 0)  # (heads, d, C)
        return (per_head @ weight).flatten(2, 3)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, G, L, heads * d) -> (B, G, heads, L, d)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(2, 3)
