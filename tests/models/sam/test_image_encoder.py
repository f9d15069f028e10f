from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sam_ft.models import windows
from sam_ft.models.sam.image_encoder import GridAttention, ImageEncoder, WindowedBlock


def make_encoder(**changes) -> ImageEncoder:
    settings = {
        "image_size": 48,
        "patch_size": 8,
        "width": 12,
        "depth": 3,
        "num_heads": 3,
        "global_attention_blocks": (1,),
        "window_size": 4,
        "out_channels": 10,
    }
    return ImageEncoder(**{**settings, **changes})


@pytest.mark.parametrize("image_size", [8, 32, 48, 72])
def test_embedding_has_one_cell_for_each_patch(image_size):
    encoder = make_encoder(image_size=image_size)
    features = encoder(torch.randn(2, 3, image_size, image_size))
    assert features.shape == (2, 10, image_size // 8, image_size // 8)


@torch.no_grad()
def test_images_of_a_batch_do_not_see_each_other(redraw):
    encoder = redraw(make_encoder())
    images = torch.randn(3, 3, 48, 48)
    each = torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(encoder(images), each, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_equals_the_loop_over_heads_queries_and_keys(redraw):
    height = width = 3
    attention = redraw(GridAttention(4, 2, grid_size=3))
    x = torch.randn(1, height, width, 4)
    qkv = attention.qkv(x).view(9, 3, 2, 2)  # positions, (queries, keys, values), heads, depth
    attended = torch.zeros(9, 2, 2)
    for head in range(2):
        scores = torch.zeros(9, 9)
        for i in range(9):
            for j in range(9):
                query, key = qkv[i, 0, head], qkv[j, 1, head]
                vertical = attention.rel_pos_h[i // 3 - j // 3 + 2]
                horizontal = attention.rel_pos_w[i % 3 - j % 3 + 2]
                scores[i, j] = query @ key / 2**0.5 + query @ vertical + query @ horizontal
        attended[:, head] = scores.softmax(dim=-1) @ qkv[:, 2, head]
    expected = attention.proj(attended.flatten(1)).view(1, height, width, 4)
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_windowed_block_equals_the_loop_over_its_windows(redraw):
    block = redraw(WindowedBlock(12, 3, window_size=4))
    x = torch.randn(1, 6, 5, 12)
    padded = F.pad(block.norm1(x), (0, 0, 0, 3, 0, 2))  # (1, 8, 8, 12): the padding comes after the normalisation
    attended = torch.zeros_like(padded)
    for top in (0, 4):
        for left in (0, 4):
            here = (slice(None), slice(top, top + 4), slice(left, left + 4))
            attended[here] = block.attn(padded[here])
    y = x + attended[:, :6, :5]
    torch.testing.assert_close(block(x), y + block.mlp(block.norm2(y)), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_windowed_block_keeps_windows_apart_and_a_global_one_does_not(redraw):
    encoder = redraw(make_encoder())
    x = torch.randn(1, 6, 6, 12)
    changed = x.clone()
    changed[:, 5, 5] = torch.randn(12)
    windowed, everywhere = encoder.blocks[0], encoder.blocks[1]
    moved = (windowed(x) - windowed(changed)).abs().amax(dim=-1)[0] > 1e-7  # (6, 6)
    assert moved[4:, 4:].all()
    assert not moved[:4].any() and not moved[:, :4].any()
    assert ((everywhere(x) - everywhere(changed)).abs().amax(dim=-1) > 1e-7).all()


def test_global_blocks_are_where_they_were_asked_for():
    encoder = make_encoder(depth=5, global_attention_blocks=(1, 4))
    assert [isinstance(block, WindowedBlock) for block in encoder.blocks] == [True, False, True, True, False]
    assert [len(block.attn.rel_pos_h) for block in encoder.blocks] == [7, 11, 7, 7, 11]


def test_every_parameter_of_a_new_encoder_receives_a_gradient():
    encoder = make_encoder()
    encoder(torch.randn(1, 3, 48, 48)).square().sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("shape", [(1, 3, 48, 40), (1, 1, 48, 48), (3, 48, 48), (1, 3, 96, 96)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="Expected `images` \\(B, 3, 48, 48\\), but got"):
        make_encoder()(torch.zeros(shape))


def test_global_blocks_beyond_the_depth_are_refused():
    with pytest.raises(ValueError, match="between 0 and 2, but got \\(1, 3\\)"):
        make_encoder(global_attention_blocks=(1, 3))


def test_windows_of_the_encoder_are_those_of_the_windows_module():
    block = WindowedBlock(12, 3, window_size=4)
    seen = []
    block.attn.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    x = torch.randn(2, 6, 6, 12)
    block(x)
    assert torch.equal(seen[0], windows.partition(block.norm1(x), 4))


def test_drop_path_rises_linearly_over_the_depth():
    encoder = make_encoder()
    assert [block.drop_path for block in encoder.blocks] == [0.0, 0.0, 0.0]
    encoder.set_drop_path(0.4)
    assert [block.drop_path for block in encoder.blocks] == pytest.approx([0.0, 0.2, 0.4])
    single = make_encoder(depth=1, global_attention_blocks=())
    single.set_drop_path(0.4)
    assert single.blocks[0].drop_path == 0.0


@torch.no_grad()
def test_drop_path_is_for_training_alone(redraw):
    encoder = redraw(make_encoder())
    images = torch.randn(2, 3, 48, 48)
    plain = encoder.eval()(images)
    assert torch.equal(encoder.train()(images), plain)
    encoder.set_drop_path(0.9)
    assert torch.equal(encoder.eval()(images), plain)
    assert not torch.equal(encoder.train()(images), plain)


@torch.no_grad()
def test_drop_path_leaves_out_a_branch_for_whole_images_and_keeps_the_mean(redraw):
    block = redraw(make_encoder()).blocks[0].train()
    branch = torch.randn(4000, 2, 2, 12)
    block.drop_path = 0.25
    dropped = block._drop(branch)
    is_zero = (dropped == 0).flatten(1)
    assert torch.equal(is_zero.all(dim=1), is_zero.any(dim=1))
    assert is_zero.all(dim=1).float().mean() == pytest.approx(0.25, abs=0.03)
    kept = ~is_zero[:, 0]
    torch.testing.assert_close(dropped[kept], branch[kept] / 0.75)


@pytest.mark.parametrize("rate", [-0.1, 1.0, "much"])
def test_a_drop_path_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"drop_path.*\[0, 1\)"):
        make_encoder().set_drop_path(rate)
