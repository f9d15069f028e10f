from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sam_ft.models.sam.variants import VARIANTS
from sam_ft.models.sam.weights import (
    hugging_face_from_meta,
    meta_from_hugging_face,
    read_architecture,
    resize_positions,
)


def weights_of(name: str, **sizes: int) -> dict[str, Tensor]:
    with torch.device("meta"):
        return VARIANTS[name](**sizes).state_dict()


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    return VARIANTS["vit_tiny"](image_size=256).state_dict()


PUBLISHED = {  # Kirillov et al. 2023 and segment_anything's build_sam.py: width, depth, heads, global blocks
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}


@pytest.mark.parametrize("image_size", [128, 224, 512, 1024])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_architectures_are_read_from_the_weights(name, image_size):
    """At 224 the windows of 14 are as large as the grid, at 128 larger."""
    found = read_architecture(weights_of(name, image_size=image_size))
    assert (
        found.encoder_width,
        found.encoder_depth,
        found.encoder_heads,
        found.global_attention_blocks,
    ) == PUBLISHED[name]
    assert (found.image_size, found.patch_size, found.window_size, found.decoder_width) == (image_size, 16, 14, 256)


def test_windows_as_large_as_the_grid_do_not_hide_which_blocks_of_the_tiny_size_are_global():
    at_512 = read_architecture(weights_of("vit_tiny", image_size=512))
    at_window_size = read_architecture(weights_of("vit_tiny", image_size=16 * at_512.window_size))
    assert at_window_size.global_attention_blocks == at_512.global_attention_blocks
    assert at_window_size.window_size == at_512.window_size


@pytest.mark.parametrize("name", ["image_encoder.pos_embed", "image_encoder.blocks.1.attn.rel_pos_h"])
def test_missing_weight_is_named(tiny, name):
    fewer = {key: value for key, value in tiny.items() if key != name}
    with pytest.raises(ValueError, match=f"`{name}` is missing"):
        read_architecture(fewer)


def test_positions_that_are_not_square_are_refused(tiny):
    with pytest.raises(ValueError, match="square.*16 x 15"):
        read_architecture({**tiny, "image_encoder.pos_embed": torch.zeros(1, 16, 15, 192)})


def test_windows_of_two_sizes_are_refused(tiny):
    with pytest.raises(ValueError, match=r"one window size.*\[9, 15\]"):
        read_architecture({**tiny, "image_encoder.blocks.0.attn.rel_pos_h": torch.zeros(9, 64)})


def test_names_go_to_hugging_face_and_back_unchanged(tiny):
    back = meta_from_hugging_face(hugging_face_from_meta(tiny))
    assert back.keys() == tiny.keys()
    assert all(back[name] is tiny[name] for name in tiny)


def test_a_name_that_hugging_face_lacks_is_refused_and_one_that_we_lack_is_kept(tiny):
    with pytest.raises(ValueError, match=r"image_encoder\.adapter"):
        hugging_face_from_meta({**tiny, "image_encoder.adapter": torch.zeros(1)})
    assert "vision_encoder.adapter" in meta_from_hugging_face({"vision_encoder.adapter": torch.zeros(1)})


def test_equal_size_keeps_every_tensor(tiny):
    resized = resize_positions(tiny, 256)
    assert resized.keys() == tiny.keys()
    assert all(resized[name] is tiny[name] for name in tiny)


def test_another_size_changes_the_global_tables_alone(tiny):
    resized = resize_positions(tiny, 512)
    changed = {name for name in tiny if resized[name] is not tiny[name]}
    tables = {f"image_encoder.blocks.{block}.attn.rel_pos_{axis}" for block in (2, 5) for axis in "hw"}
    assert changed == {"image_encoder.pos_embed", *tables}
    assert resized["image_encoder.pos_embed"].shape == (1, 32, 32, tiny["image_encoder.pos_embed"].shape[-1])
    assert all(len(resized[name]) == 63 for name in tables)


def test_a_ramp_of_positions_stays_a_ramp(tiny):
    """Rows and columns are not exchanged: what rises along the columns still does, over their centres."""
    ramp = torch.arange(16.0)[None, None, :, None].expand(1, 16, 16, 192).contiguous()
    table = torch.arange(31.0)[:, None].expand(31, 64).contiguous()
    name = "image_encoder.blocks.2.attn.rel_pos_w"
    resized = resize_positions({**tiny, "image_encoder.pos_embed": ramp, name: table}, 512)
    columns = (torch.arange(32.0) + 0.5) / 2 - 0.5
    inside = slice(4, -4)  # the bicubic kernel reaches over the border elsewhere
    assert torch.allclose(resized["image_encoder.pos_embed"][0, 7, inside, 3], columns[inside], atol=1e-4)
    lengths = ((torch.arange(63.0) + 0.5) * 31 / 63 - 0.5).clamp(0, 30)
    assert torch.allclose(resized[name][:, 5], lengths, atol=1e-4)


@pytest.mark.parametrize("image_size", [0, -256, 100])
def test_a_size_that_patches_do_not_divide_is_refused(tiny, image_size):
    with pytest.raises(ValueError, match=f"multiple of the patch size 16, but got {image_size}"):
        resize_positions(tiny, image_size)
