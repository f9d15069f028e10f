"""Attention between the few tokens of each object and the many features of its image, arranged to do little work.

Parameter names are segment_anything's, and so are the results; the order of the products is not:

- Features that all objects of an image share are projected once per image. What an object's mask prompt adds to them
  is a linear map of few channels (`DensePrompt`), and is multiplied in these.
- Features of an object's own are projected for its tokens: with the tokens of all heads fewer than the channels that
  they are compared in, it is less work to project the tokens into the features' channels than the features into
  theirs, `q (W x) = (q W) x`.
- From the image to the tokens, the output projection is applied to the few values.

Shapes: tokens (B, N, T, C); features of objects (B, N, P, C) and of images (B, P, C), where P counts positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam_ft.models.attention import attend
from sam_ft.models.prompt_encoder import DensePrompt

_SHARPNESS = 2.0
"""How much random queries are scaled at the start: attention between tokens and image then prefers near positions."""


class Attention(nn.Module):
    """Multi-head attention in the forms that the two-way transformer needs."""

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
        queries = self.in_heads(self.q_proj(queries_and_keys)).flatten(0, 1)  # (B * N, heads, T, d)
        keys = self.in_heads(self.k_proj(queries_and_keys)).flatten(0, 1)
        mask = present.flatten(0, 1)[:, None, None]  # (B * N, 1, 1, T)
        attended = attend(queries, keys, self.in_heads(self.v_proj(values)).flatten(0, 1), mask=mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2)).view_as(values)  # (B, N, T, C)

    def tokens_to_shared(self, tokens: Tensor, keys: Tensor, values: Tensor, dense: DensePrompt) -> Tensor:
        """Tokens (B, N, T, C) attend to their images' keys and values (B, heads, P, d) -> (B, N, T, C).

        `dense` is part of the keys and the values.
        """
        queries = self.in_heads(self.q_proj(tokens)) * self._scale  # (B, N, heads, T, d)
        weights = self._scores_of_shared(queries, keys, self.k_proj, dense).softmax(dim=-1)  # (B, N, heads, T, P)
        weight = self._in_heads_of(self.v_proj)  # (heads, d, C)
        joint = weights.transpose(1, 2).flatten(2, 3)  # (B, heads, N * T, P)
        attended = (joint @ values).unflatten(2, (tokens.shape[1], -1)).transpose(1, 2)  # (B, N, heads, T, d)
        added = dense.offset  # the weights of a query sum to 1
        if dense.small is not None:
            small = weights.flatten(2, 3) @ dense.small  # (B, N, heads * T, c)
            added = added + small @ dense.lift  # (B, N, heads * T, C)
        added = added.expand(*weights.shape[:2], weights.shape[2] * weights.shape[3], -1)
        attended = attended + added.unflatten(2, weights.shape[2:4]) @ weight.transpose(1, 2)
        return self.out_proj(attended.transpose(2, 3).flatten(3))

    def shared_to_tokens(
        self, features: Tensor, queries: Tensor, keys: Tensor, values: Tensor, present: Tensor, dense: DensePrompt
    ) -> Tensor:
        """Images' features with queries (B, heads, P, d) attend to each object's tokens (B, N, T, C).

        `dense` is part of the features and the queries.

        Returns:
            (B, N, P, C), the features (B, P, C) with `dense` and with what they have learnt from the tokens.
        """
        keys = self.in_heads(self.k_proj(keys)) * self._scale  # (B, N, heads, T, d)
        scores = self._scores_of_shared(keys, queries, self.q_proj, dense, present=present)
        weights = scores.softmax(dim=3).flatten(2, 3)  # (B, N, heads * T, P)
        learnt = self._projected_values(values) + dense.offset / self.num_heads  # (B, N, heads * T, C)
        image = features[:, None].expand(*weights.shape[:2], -1, -1)
        if dense.small is not None:
            image = _plus_product(image, dense.small, dense.lift.expand(*weights.shape[:2], -1, -1))
        return _plus_product(image, weights.transpose(2, 3), learnt)

    def tokens_to_image(self, tokens: Tensor, image: Tensor, keyed: Tensor) -> Tensor:
        """Tokens (B, N, T, C) attend to features (B, N, P, C), as keys with positions -> (B, N, T, C)."""
        queries = self.in_heads(self.q_proj(tokens))  # (B, N, heads, T, d)
        if not self._has_few(tokens):
            keys, values = self.in_heads(self.k_proj(keyed)), self.in_heads(self.v_proj(image))
            attended = attend(*(x.flatten(0, 1) for x in (queries, keys, values))).view_as(queries)
            return self.out_proj(attended.transpose(2, 3).flatten(3))
        scores = self._folded_scores(queries * self._scale, keyed, self.k_proj)  # (B, N, heads, T, P)
        weights = scores.softmax(dim=-1).flatten(2, 3)
        seen = (weights.to(image.dtype) @ image).unflatten(2, queries.shape[2:4])  # (B, N, heads, T, C)
        attended = seen @ self._in_heads_of(self.v_proj).transpose(1, 2)  # (B, N, heads, T, d)
        return self.out_proj(attended.transpose(2, 3).flatten(3) + self.v_proj.bias)  # a query's weights sum to 1

    def image_to_tokens(self, image: Tensor, keyed: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """Features (B, N, P, C), as queries with positions, attend to tokens (B, N, T, C).

        Returns:
            (B, N, P, C), the features with what they have learnt from the tokens.
        """
        keys = self.in_heads(self.k_proj(keys)) * self._scale  # (B, N, heads, T, d)
        if self._has_few(values):
            scores = self._folded_scores(keys, keyed, self.q_proj, present=present)
        else:
            scores = _without_absent(keys @ self.in_heads(self.q_proj(keyed)).transpose(3, 4), present)
        weights = scores.softmax(dim=3).flatten(2, 3)  # (B, N, heads * T, P)
        return _plus_product(image, weights.transpose(2, 3), self._projected_values(values))

    def in_heads(self, x: Tensor) -> Tensor:
        """(.., L, heads * d) -> (.., heads, L, d)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)

    @property
    def _scale(self) -> float:
        return (self.k_proj.out_features // self.num_heads) ** -0.5

    def _has_few(self, tokens: Tensor) -> bool:
        """Whether an object's tokens of all heads are fewer than the channels that they are compared in."""
        return self.num_heads * tokens.shape[2] < self.k_proj.out_features

    def _in_heads_of(self, projection: nn.Linear) -> Tensor:
        """Its weight by heads: (heads, d, C)."""
        return projection.weight.unflatten(0, (self.num_heads, -1))

    def _scores_of_shared(
        self,
        tokens: Tensor,
        image: Tensor,
        projection: nn.Linear,
        dense: DensePrompt,
        *,
        present: Tensor | None = None,
    ) -> Tensor:
        """Products of projected tokens (B, N, heads, T, d) with an image's features (B, heads, P, d).

        Args:
            tokens: scaled.
            image: projected.
            projection: what projected it.
            dense: what is not in `image` yet.
            present: (B, N, T) bool; all products of other tokens are -inf.

        Returns:
            (B, N, heads, T, P).
        """
        joint = tokens.transpose(1, 2).flatten(2, 3)  # (B, heads, N * T, d)
        scores = (joint @ image.transpose(2, 3)).unflatten(2, (tokens.shape[1], -1)).transpose(1, 2)
        folded = tokens @ self._in_heads_of(projection)  # (B, N, heads, T, C)
        offset = _without_absent(folded @ dense.offset.transpose(2, 3)[:, :, None], present)  # (B, N, heads, T, 1)
        if dense.small is None:
            return scores + offset
        offset = offset.flatten(2, 3).expand(-1, -1, -1, scores.shape[-1])  # (B, N, heads * T, P)
        small = _plus_product(offset, (folded @ dense.lift.T).flatten(2, 3), dense.small.transpose(2, 3))
        return scores + small.view_as(scores)

    def _folded_scores(
        self, tokens: Tensor, features: Tensor, projection: nn.Linear, *, present: Tensor | None = None
    ) -> Tensor:
        """Products of projected tokens (B, N, heads, T, d) with features (B, N, P, C) -> (B, N, heads, T, P).

        `tokens @ projection(features)`, where the bias gives all of a token's products the same; `present` as in
        `_scores_of_shared`.
        """
        folded = (tokens @ self._in_heads_of(projection)).flatten(2, 3)  # (B, N, heads * T, C)
        bias = tokens @ projection.bias.unflatten(0, (self.num_heads, -1, 1))  # (B, N, heads, T, 1)
        scores = (folded @ features.transpose(2, 3)).unflatten(2, tokens.shape[2:4])
        return scores + _without_absent(bias, present)

    def _projected_values(self, values: Tensor) -> Tensor:
        """Each head's share of the output for each token: (B, N, T, C) -> (B, N, heads * T, C)."""
        per_head = self.in_heads(self.v_proj(values))  # (B, N, heads, T, d)
        weight = self.out_proj.weight.unflatten(1, (self.num_heads, -1)).permute(1, 2, 0)  # (heads, d, C)
        bias = self.out_proj.bias / self.num_heads  # the weights of each head sum to 1
        return (per_head @ weight + bias).flatten(2, 3)


def _without_absent(scores: Tensor, present: Tensor | None) -> Tensor:
    """Scores (B, N, heads, T, P or 1), -inf for tokens that are not present (B, N, T)."""
    return scores if present is None else scores.masked_fill(~present[:, :, None, :, None], float("-inf"))


def _plus_product(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`x + left @ right` without the product by itself: (B, N, P, C), (B, N, P, K), (B, N, K, C)."""
    product = torch.baddbmm(x.flatten(0, 1), left.flatten(0, 1), right.flatten(0, 1))
    return product.unflatten(0, left.shape[:2])
