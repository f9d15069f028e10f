"""The mask decoder's transformer: prompt tokens attend to the image and the image attends back.

Source: Kirillov et al. 2023 (SAM), figure 14. Parameter names are segment_anything's; the arithmetic is that of
`sam_ft.models.token_image_attention`, where B images with N objects each are one call. What depends on an image alone
is worked out once for all of its objects and portions of them: see `TwoWayTransformer.look_at`.

Shapes: tokens (B, N, T, C); image features (B, N, P, C), where P counts positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from sam_ft.models.layers import FeedForward
from sam_ft.models.prompt_encoder import DensePrompt
from sam_ft.models.token_image_attention import Attention


@dataclass(frozen=True)
class SharedFeatures:
    """What the first layer takes from B images, whatever is asked about them."""

    features: Tensor  # (B, P, C)
    image_pe: Tensor  # (P, C)
    keys: Tensor  # (B, heads, P, d), for the tokens' look at the image
    values: Tensor  # (B, heads, P, d)
    queries: Tensor  # (B, heads, P, d), for the image's look at the tokens


class TwoWayTransformer(nn.Module):
    """Two-way layers, then a last attention from the tokens to the image."""

    def __init__(self, *, depth: int, width: int, num_heads: int, mlp_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(width, num_heads, mlp_width=mlp_width) for _ in range(depth))
        self.final_attn_token_to_image = Attention(width, num_heads, inner_width=width // 2)
        self.norm_final_attn = nn.LayerNorm(width)
        self.final_attn_token_to_image.start_alike()

    def look_at(self, features: Tensor, image_pe: Tensor) -> SharedFeatures:
        """Project images for `forward`: features (B, P, C), image_pe (P, C)."""
        first = cast(TwoWayLayer, self.layers[0])
        to_image, to_tokens = first.cross_attn_token_to_image, first.cross_attn_image_to_token
        keyed = features + image_pe
        return SharedFeatures(
            features=features,
            image_pe=image_pe,
            keys=to_image.in_heads(to_image.k_proj(keyed)),
            values=to_image.in_heads(to_image.v_proj(features)),
            queries=to_tokens.in_heads(to_tokens.q_proj(keyed)),
        )

    def forward(
        self, tokens: Tensor, present: Tensor, shared: SharedFeatures, dense: DensePrompt, *, num_outputs: int
    ) -> tuple[Tensor, Tensor]:
        """Let tokens and image exchange what they know.

        Args:
            tokens: (B, N, T, C); they serve as their own positions.
            present: (B, N, T) bool; no one attends to a token that is not present.
            shared: of the B images.
            dense: what each object adds to the features of its image.
            num_outputs: how many tokens, K, are wanted back: the first ones.

        Returns:
            The tokens (B, N, K, C) and the image features (B, N, P, C).
        """
        token_pe = tokens
        first, *others = (cast(TwoWayLayer, layer) for layer in self.layers)
        tokens, image = first.from_shared(tokens, present, shared, dense)
        for layer in others:
            tokens, image = layer(tokens, token_pe, present, image, shared.image_pe)
        tokens, token_pe = tokens[:, :, :num_outputs], token_pe[:, :, :num_outputs]  # no other token's look is wanted
        attended = self.final_attn_token_to_image.tokens_to_image(tokens + token_pe, image, image + shared.image_pe)
        return self.norm_final_attn(tokens + attended), image


class TwoWayLayer(nn.Module):
    """Self-attention of the tokens, tokens to image, a perceptron on the tokens, image to tokens."""

    def __init__(self, width: int, num_heads: int, *, mlp_width: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, num_heads, inner_width=width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, num_heads, inner_width=width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, mlp_width, activation=nn.ReLU())
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, num_heads, inner_width=width // 2)
        self.cross_attn_token_to_image.start_alike()
        self.cross_attn_image_to_token.start_alike()

    def forward(
        self, tokens: Tensor, token_pe: Tensor, present: Tensor, image: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A layer after the first: tokens, their positions, image (B, N, P, C) and its positions (P, C)."""
        tokens = self.norm1(tokens + self.self_attn.among_tokens(tokens + token_pe, tokens, present))
        keyed = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image.tokens_to_image(tokens + token_pe, image, keyed))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.cross_attn_image_to_token.image_to_tokens(image, keyed, tokens + token_pe, tokens, present)
        return tokens, self.norm4(image)

    def from_shared(
        self, tokens: Tensor, present: Tensor, shared: SharedFeatures, dense: DensePrompt
    ) -> tuple[Tensor, Tensor]:
        """The first layer: the tokens still are their own positions, and nothing is added to them."""
        token_pe = tokens
        tokens = self.norm1(self.self_attn.among_tokens(tokens, tokens, present))
        attended = self.cross_attn_token_to_image.tokens_to_shared(tokens + token_pe, shared.keys, shared.values, dense)
        tokens = self.norm2(tokens + attended)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.cross_attn_image_to_token.shared_to_tokens(
            shared.features, shared.queries, tokens + token_pe, tokens, present, dense
        )
        return tokens, self.norm4(image)
