from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sam_ft.models.position import FourierPosition
from sam_ft.models.prompt_encoder import DensePrompt
from sam_ft.models.token_image_attention import Attention
from sam_ft.models.two_way_transformer import TwoWayTransformer

B, N, T, P, C = 2, 3, 4, 6, 16
FEW, MANY = 3, 4
"""Tokens of an object that, for 2 heads, are fewer than the 8 channels of its keys, and that are not."""


@pytest.fixture
def attention(redraw) -> Attention:
    return redraw(Attention(C, 2, inner_width=8)).requires_grad_(False).double()


@pytest.fixture
def transformer(redraw) -> TwoWayTransformer:
    return redraw(TwoWayTransformer(depth=2, width=C, num_heads=2, mlp_width=24)).requires_grad_(False).double()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def plain_attention(attention: Attention, queries: Tensor, keys: Tensor, values: Tensor, present: Tensor) -> Tensor:
    """One object: project, split into heads, attend, join, project. (L, C), (S, C), (S, C), (S,) -> (L, C)."""
    q, k, v = attention.q_proj(queries), attention.k_proj(keys), attention.v_proj(values)
    heads = []
    for q_head, k_head, v_head in zip(*(x.chunk(attention.num_heads, dim=-1) for x in (q, k, v)), strict=True):
        scores = q_head @ k_head.T / q_head.shape[-1] ** 0.5
        heads.append(scores.masked_fill(~present, float("-inf")).softmax(dim=-1) @ v_head)
    return attention.out_proj(torch.cat(heads, dim=-1))


def nothing_added() -> DensePrompt:
    return DensePrompt(small=None, lift=draw(5, C), offset=torch.zeros(1, 1, 1, C, dtype=torch.float64))


def one_offset_added() -> DensePrompt:
    return DensePrompt(small=None, lift=draw(5, C), offset=draw(1, 1, 1, C))


def masks_added() -> DensePrompt:
    return DensePrompt(small=draw(B, N, P, 5), lift=draw(5, C), offset=draw(B, N, 1, C))


def some_present(num_tokens: int = T) -> Tensor:
    present = torch.rand(B, N, num_tokens) < 0.6
    present[..., 0] = True
    return present


@pytest.mark.parametrize("num_tokens", [FEW, MANY])
def test_image_to_token_attention_equals_plain_attention(attention, num_tokens):
    image, keyed = draw(B, N, P, C), draw(B, N, P, C)
    keys, values, present = draw(B, N, num_tokens, C), draw(B, N, num_tokens, C), some_present(num_tokens)
    told = attention.image_to_tokens(image, keyed, keys, values, present)
    assert told.shape == (B, N, P, C)
    for b in range(B):
        for n in range(N):
            expected = image[b, n] + plain_attention(attention, keyed[b, n], keys[b, n], values[b, n], present[b, n])
            torch.testing.assert_close(told[b, n], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("num_tokens", [FEW, MANY])
def test_token_to_image_attention_equals_plain_attention(attention, num_tokens):
    tokens, image, keyed = draw(B, N, num_tokens, C), draw(B, N, P, C), draw(B, N, P, C)
    attended = attention.tokens_to_image(tokens, image, keyed)
    everything = torch.ones(P, dtype=torch.bool)
    for b in range(B):
        for n in range(N):
            expected = plain_attention(attention, tokens[b, n], keyed[b, n], image[b, n], everything)
            torch.testing.assert_close(attended[b, n], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("dense", [nothing_added, one_offset_added, masks_added])
def test_attention_with_shared_features_equals_plain_attention_with_the_dense_prompts_added(attention, dense):
    features, image_pe, added = draw(B, P, C), draw(P, C), dense()
    tokens, values, present = draw(B, N, T, C), draw(B, N, T, C), some_present()
    keyed = features + image_pe
    queries = attention.in_heads(attention.q_proj(keyed))
    looked = attention.tokens_to_shared(
        tokens, attention.in_heads(attention.k_proj(keyed)), attention.in_heads(attention.v_proj(features)), added
    )
    told = attention.shared_to_tokens(features, queries, tokens, values, present, added)
    image = (features[:, None] + added.whole()).expand(B, N, P, C)
    everything = torch.ones(P, dtype=torch.bool)
    for b in range(B):
        for n in range(N):
            own, own_keyed = image[b, n], image[b, n] + image_pe
            expected = plain_attention(attention, tokens[b, n], own_keyed, own, everything)
            torch.testing.assert_close(looked[b, n], expected, atol=1e-9, rtol=1e-9)
            expected = own + plain_attention(attention, own_keyed, tokens[b, n], values[b, n], present[b, n])
            torch.testing.assert_close(told[b, n], expected, atol=1e-9, rtol=1e-9)


def test_attention_among_tokens_equals_plain_attention_of_each_object(attention):
    tokens, values, present = draw(B, N, T, C), draw(B, N, T, C), some_present()
    attended = attention.among_tokens(tokens, values, present)
    for b in range(B):
        for n in range(N):
            expected = plain_attention(attention, tokens[b, n], tokens[b, n], values[b, n], present[b, n])
            torch.testing.assert_close(attended[b, n], expected, atol=1e-9, rtol=1e-9)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="that 3 heads divide, but got 8"):
        Attention(16, 3, inner_width=8)


def reference_layers(transformer: TwoWayTransformer, tokens: Tensor, image: Tensor, image_pe: Tensor) -> list[Tensor]:
    """One object as figure 14 of the paper tells it. (T, C), (P, C), (P, C) -> tokens and image features."""
    token_pe = tokens
    all_tokens, all_places = torch.ones(len(tokens)).bool(), torch.ones(len(image)).bool()
    for layer in transformer.layers:
        if layer is transformer.layers[0]:
            tokens = plain_attention(layer.self_attn, tokens, tokens, tokens, all_tokens)
        else:
            queries = tokens + token_pe
            tokens = tokens + plain_attention(layer.self_attn, queries, queries, tokens, all_tokens)
        tokens = layer.norm1(tokens)
        cross = layer.cross_attn_token_to_image
        tokens = tokens + plain_attention(cross, tokens + token_pe, image + image_pe, image, all_places)
        tokens = layer.norm2(tokens)
        tokens = layer.norm3(tokens + layer.mlp.lin2(F.relu(layer.mlp.lin1(tokens))))
        cross = layer.cross_attn_image_to_token
        image = image + plain_attention(cross, image + image_pe, tokens + token_pe, tokens, all_tokens)
        image = layer.norm4(image)
    last = transformer.final_attn_token_to_image
    tokens = tokens + plain_attention(last, tokens + token_pe, image + image_pe, image, all_places)
    return [transformer.norm_final_attn(tokens), image]


@pytest.mark.parametrize("dense", [nothing_added, one_offset_added, masks_added])
def test_transformer_equals_the_papers_figure_object_by_object(transformer, dense):
    tokens, features, image_pe, added = draw(B, N, T, C), draw(B, P, C), draw(P, C), dense()
    shared = transformer.look_at(features, image_pe)
    out_tokens, out_image = transformer(tokens, torch.ones(B, N, T, dtype=torch.bool), shared, added, num_outputs=T)
    assert out_tokens.shape == (B, N, T, C) and out_image.shape == (B, N, P, C)
    image = (features[:, None] + added.whole()).expand(B, N, P, C)
    for b in range(B):
        for n in range(N):
            expected = reference_layers(transformer, tokens[b, n], image[b, n], image_pe)
            torch.testing.assert_close(out_tokens[b, n], expected[0], atol=1e-9, rtol=1e-9)
            torch.testing.assert_close(out_image[b, n], expected[1], atol=1e-9, rtol=1e-9)


def test_tokens_that_are_not_present_change_nothing(transformer):
    tokens, added = draw(B, N, T, C), masks_added()
    shared = transformer.look_at(draw(B, P, C), draw(P, C))
    padded = torch.cat([tokens, 100 * draw(B, N, 3, C)], dim=2)
    present = torch.arange(T + 3).expand(B, N, -1) < T
    expected = transformer(tokens, torch.ones(B, N, T, dtype=torch.bool), shared, added, num_outputs=T)
    out_tokens, out_image = transformer(padded, present, shared, added, num_outputs=T)
    torch.testing.assert_close(out_tokens, expected[0], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(out_image, expected[1], atol=1e-9, rtol=1e-9)


def test_the_first_tokens_are_the_same_without_the_others(transformer):
    tokens, present, added = draw(B, N, T, C), some_present(), masks_added()
    shared = transformer.look_at(draw(B, P, C), draw(P, C))
    every_token, expected_image = transformer(tokens, present, shared, added, num_outputs=T)
    two, image = transformer(tokens, present, shared, added, num_outputs=2)
    torch.testing.assert_close(two, every_token[:, :, :2], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(image, expected_image, atol=1e-9, rtol=1e-9)


def test_an_images_features_are_projected_once_for_the_first_layer(transformer):
    seen = []
    for layer in transformer.layers:
        layer.cross_attn_token_to_image.k_proj.register_forward_hook(lambda m, args, out: seen.append(args[0].shape))
    shared = transformer.look_at(draw(B, P, C), draw(P, C))
    many = draw(B, N, 8, C)  # of 2 heads, as many as the 8 channels that keys have
    transformer(many, torch.ones(B, N, 8, dtype=torch.bool), shared, masks_added(), num_outputs=8)
    assert seen == [(B, P, C), (B, N, P, C)]


def test_random_weights_look_at_what_lies_near():
    positions = FourierPosition(64)
    transformer = TwoWayTransformer(depth=1, width=64, num_heads=4, mlp_width=64)
    image_pe = positions.grid((8, 8)).flatten(1).T  # (64, C)
    attentions = (
        transformer.layers[0].cross_attn_token_to_image,
        transformer.layers[0].cross_attn_image_to_token,
        transformer.final_attn_token_to_image,
    )
    for attention in attentions:
        scores = F.linear(image_pe, attention.q_proj.weight) @ F.linear(image_pe, attention.k_proj.weight).T
        own, others = scores.diagonal().mean(), scores[~torch.eye(64, dtype=torch.bool)].mean()
        assert own > 4 * others.abs()
