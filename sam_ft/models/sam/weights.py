"""SAM's weights: the names of Meta and of Hugging Face, the sizes that the weights tell, position tables.

Our own names are Meta's (segment_anything's `.pth`), so that only Hugging Face's need a map. The map is one table,
read from left to right or from right to left; `#` stands for an index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from sam_ft.checks import shortened
from sam_ft.models.mask_decoder import num_heads_for
from sam_ft.models.sam.hq import HUGGING_FACE_NAMES, is_high_quality

StateDict = dict[str, Tensor]

_GLOBAL_BLOCKS_BY_DEPTH = {6: (2, 5), 12: (2, 5, 8, 11), 24: (5, 11, 17, 23), 32: (7, 15, 23, 31)}
"""The global blocks of vit_tiny, vit_b, vit_l and vit_h."""

_GAUSSIAN = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_SHARED_GAUSSIAN = "shared_image_embedding.positional_embedding"
"""Hugging Face stores the prompt encoder's random frequencies a second time under this name (tied)."""

_TWO_WAY = "mask_decoder.transformer"

# Meta's name, Hugging Face's name: whole names or beginnings that end before a dot.
_NAMES = (
    (_GAUSSIAN, "prompt_encoder.shared_embedding.positional_embedding"),
    ("prompt_encoder.point_embeddings.#", "prompt_encoder.point_embed.#"),
    ("prompt_encoder.not_a_point_embed", "prompt_encoder.not_a_point_embed"),
    ("prompt_encoder.no_mask_embed", "prompt_encoder.no_mask_embed"),
    ("prompt_encoder.mask_downscaling.0", "prompt_encoder.mask_embed.conv1"),
    ("prompt_encoder.mask_downscaling.1", "prompt_encoder.mask_embed.layer_norm1"),
    ("prompt_encoder.mask_downscaling.3", "prompt_encoder.mask_embed.conv2"),
    ("prompt_encoder.mask_downscaling.4", "prompt_encoder.mask_embed.layer_norm2"),
    ("prompt_encoder.mask_downscaling.6", "prompt_encoder.mask_embed.conv3"),
    ("mask_decoder.iou_token", "mask_decoder.iou_token"),
    ("mask_decoder.mask_tokens", "mask_decoder.mask_tokens"),
    (f"{_TWO_WAY}.layers.#.self_attn", f"{_TWO_WAY}.layers.#.self_attn"),
    (f"{_TWO_WAY}.layers.#.cross_attn_token_to_image", f"{_TWO_WAY}.layers.#.cross_attn_token_to_image"),
    (f"{_TWO_WAY}.layers.#.cross_attn_image_to_token", f"{_TWO_WAY}.layers.#.cross_attn_image_to_token"),
    (f"{_TWO_WAY}.layers.#.mlp", f"{_TWO_WAY}.layers.#.mlp"),
    (f"{_TWO_WAY}.layers.#.norm1", f"{_TWO_WAY}.layers.#.layer_norm1"),
    (f"{_TWO_WAY}.layers.#.norm2", f"{_TWO_WAY}.layers.#.layer_norm2"),
    (f"{_TWO_WAY}.layers.#.norm3", f"{_TWO_WAY}.layers.#.layer_norm3"),
    (f"{_TWO_WAY}.layers.#.norm4", f"{_TWO_WAY}.layers.#.layer_norm4"),
    (f"{_TWO_WAY}.final_attn_token_to_image", f"{_TWO_WAY}.final_attn_token_to_image"),
    (f"{_TWO_WAY}.norm_final_attn", f"{_TWO_WAY}.layer_norm_final_attn"),
    ("mask_decoder.output_upscaling.0", "mask_decoder.upscale_conv1"),
    ("mask_decoder.output_upscaling.1", "mask_decoder.upscale_layer_norm"),
    ("mask_decoder.output_upscaling.3", "mask_decoder.upscale_conv2"),
    ("mask_decoder.output_hypernetworks_mlps.#.layers.0", "mask_decoder.output_hypernetworks_mlps.#.proj_in"),
    ("mask_decoder.output_hypernetworks_mlps.#.layers.1", "mask_decoder.output_hypernetworks_mlps.#.layers.0"),
    ("mask_decoder.output_hypernetworks_mlps.#.layers.2", "mask_decoder.output_hypernetworks_mlps.#.proj_out"),
    ("mask_decoder.iou_prediction_head.layers.0", "mask_decoder.iou_prediction_head.proj_in"),
    ("mask_decoder.iou_prediction_head.layers.1", "mask_decoder.iou_prediction_head.layers.0"),
    ("mask_decoder.iou_prediction_head.layers.2", "mask_decoder.iou_prediction_head.proj_out"),
    *HUGGING_FACE_NAMES,
    ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
    ("image_encoder.patch_embed.proj", "vision_encoder.patch_embed.projection"),
    ("image_encoder.blocks.#.norm1", "vision_encoder.layers.#.layer_norm1"),
    ("image_encoder.blocks.#.norm2", "vision_encoder.layers.#.layer_norm2"),
    ("image_encoder.blocks.#.attn", "vision_encoder.layers.#.attn"),
    ("image_encoder.blocks.#.mlp", "vision_encoder.layers.#.mlp"),
    ("image_encoder.neck.0", "vision_encoder.neck.conv1"),
    ("image_encoder.neck.1", "vision_encoder.neck.layer_norm1"),
    ("image_encoder.neck.2", "vision_encoder.neck.conv2"),
    ("image_encoder.neck.3", "vision_encoder.neck.layer_norm2"),
)

Rule = tuple[re.Pattern[str], str]


def meta_from_hugging_face(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Renames the weights of `transformers.SamModel` to Meta's names; the tensors are shared, not copied.

    A name that SAM does not have stays as it is, so that a coverage report can show it. Saved files hold one or both
    of the tied copies of the positional frequencies; either will do.

    Source: the names of transformers, models/sam/modeling_sam.py, and of segment_anything, modeling/.
    """
    rules = _rules(source=1, target=0)
    renamed = {_rename(name, rules) or name: tensor for name, tensor in state_dict.items() if name != _SHARED_GAUSSIAN}
    if _SHARED_GAUSSIAN in state_dict:
        renamed.setdefault(_GAUSSIAN, state_dict[_SHARED_GAUSSIAN])
    return renamed


def hugging_face_from_meta(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Renames Meta's (our) names to those of `transformers.SamModel`; the tensors are shared, not copied.

    Only the positional frequencies, which transformers holds twice, are there twice.

    Raises:
        ValueError: a name that `transformers.SamModel` has no place for.
    """
    rules = _rules(source=0, target=1)
    renamed: StateDict = {}
    for name, tensor in state_dict.items():
        new_name = _rename(name, rules)
        if new_name is None:
            raise ValueError(f"Expected `state_dict` to hold SAM's names alone, but got {name}.")
        renamed[new_name] = tensor
    if _GAUSSIAN in state_dict:
        renamed[_SHARED_GAUSSIAN] = state_dict[_GAUSSIAN].clone()  # safetensors refuses shared memory
    return renamed


def expect_published_names(state_dict: Mapping[str, Tensor]) -> None:
    """Refuses weights that segment_anything, or HQ-SAM's code, would not know.

    Raises:
        ValueError: names are given that they have no place for.
    """
    rules = _rules(source=0, target=1)
    foreign = ", ".join(name for name in state_dict if _rename(name, rules) is None)
    if foreign:
        raise ValueError(f"Expected weights with SAM's names alone, but the model has {shortened(foreign)} too.")


def _rules(*, source: int, target: int) -> list[Rule]:
    """One compiled rule per row of the table; the column `source` is matched, `target` written."""
    rules = []
    for row in _NAMES:
        pattern = re.escape(row[source]).replace(r"\#", "#").replace("#", r"(?P<index>\d+)")
        rules.append((re.compile(rf"{pattern}(?P<rest>\..+)?"), row[target]))
    return rules


def _rename(name: str, rules: list[Rule]) -> str | None:
    for pattern, target in rules:
        match = pattern.fullmatch(name)
        if match is not None:
            groups = match.groupdict(default="")
            return target.replace("#", groups.get("index", "")) + groups["rest"]
    return None


@dataclass(frozen=True)
class Architecture:
    """The numbers that SAM's weights tell, under the names of the builder `sam_ft.models.sam.variants.sam`."""

    image_size: int
    patch_size: int
    encoder_width: int
    encoder_depth: int
    encoder_heads: int
    global_attention_blocks: tuple[int, ...]
    window_size: int
    decoder_width: int


def read_architecture(state_dict: Mapping[str, Tensor]) -> Architecture:
    """Reads SAM's sizes from the shapes of Meta-named weights.

    A block is windowed where its relative positions are not those of the whole grid. Where windows are as large as
    the grid (a 224 pixel model with windows of 14) both kinds look and compute alike; then the depth decides, as in
    `variants`, and at any other depth all blocks are taken as global.

    Raises:
        ValueError: a weight is missing (it is named), or the position table is not square.
    """
    _, height, grid, width = _shape(state_dict, "image_encoder.pos_embed", dims=4)
    if height != grid:
        raise ValueError(f"Expected a square `image_encoder.pos_embed`, but got {height} x {grid} patches.")
    patch_size = _shape(state_dict, "image_encoder.patch_embed.proj.weight", dims=4)[-1]
    depth = _encoder_depth(state_dict)
    tables = [_shape(state_dict, f"image_encoder.blocks.{i}.attn.rel_pos_h", dims=2) for i in range(depth)]
    windowed = sorted({length for length, _ in tables if length != 2 * grid - 1})
    if len(windowed) > 1:
        raise ValueError(f"Expected one window size, but got relative positions of the lengths {windowed}.")
    global_blocks = tuple(i for i, (length, _) in enumerate(tables) if length == 2 * grid - 1)
    if not windowed:
        global_blocks = _GLOBAL_BLOCKS_BY_DEPTH.get(depth, global_blocks)
    return Architecture(
        image_size=grid * patch_size,
        patch_size=patch_size,
        encoder_width=width,
        encoder_depth=depth,
        encoder_heads=width // tables[0][1],
        global_attention_blocks=global_blocks,
        window_size=(windowed[0] + 1) // 2 if windowed else grid,
        decoder_width=_shape(state_dict, "image_encoder.neck.0.weight", dims=4)[0],
    )


def _shape(state_dict: Mapping[str, Tensor], name: str, *, dims: int) -> tuple[int, ...]:
    if name not in state_dict:
        raise ValueError(f"Expected SAM's weights with a ViT encoder, but `{name}` is missing.")
    shape = tuple(state_dict[name].shape)
    if len(shape) != dims:
        raise ValueError(f"Expected `{name}` with {dims} dimensions, but got the shape {shape}.")
    return shape


def _encoder_depth(state_dict: Mapping[str, Tensor]) -> int:
    blocks = {int(name.split(".")[2]) for name in state_dict if re.match(r"image_encoder\.blocks\.\d+\.", name)}
    if not blocks:
        raise ValueError("Expected SAM's weights with a ViT encoder, but `image_encoder.blocks` is missing.")
    return max(blocks) + 1


def resize_positions(state_dict: Mapping[str, Tensor], image_size: int) -> StateDict:
    """The weights for another image size: absolute positions bicubic, the global blocks' relative positions linear.

    Everything else, and the windowed blocks' tables, stays the very same tensor; at equal size all of them do.

    Args:
        state_dict: Meta-named weights.
        image_size: the new side of the square frame in pixels, a multiple of the patch size.

    Raises:
        ValueError: `image_size` is no positive multiple of the patch size, or weights are missing.

    Source: segment_anything, modeling/image_encoder.py, get_rel_pos (linear); ViT (Dosovitskiy et al. 2021, sec. 3.2).
    """
    architecture = read_architecture(state_dict)
    if image_size <= 0 or image_size % architecture.patch_size:
        raise ValueError(
            f"Expected `image_size` to be a positive multiple of the patch size {architecture.patch_size}, "
            f"but got {image_size}."
        )
    resized = dict(state_dict)
    if image_size == architecture.image_size:
        return resized
    grid = image_size // architecture.patch_size
    resized["image_encoder.pos_embed"] = _resize_grid(state_dict["image_encoder.pos_embed"], grid)
    for block in architecture.global_attention_blocks:
        for axis in ("h", "w"):
            name = f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
            resized[name] = _resize_table(state_dict[name], 2 * grid - 1)
    return resized


def _resize_grid(positions: Tensor, grid: int) -> Tensor:
    """(1, h, w, C) -> (1, grid, grid, C)."""
    channels_first = positions.float().permute(0, 3, 1, 2)  # (1, C, h, w)
    resized = F.interpolate(channels_first, size=(grid, grid), mode="bicubic", align_corners=False, antialias=True)
    return resized.permute(0, 2, 3, 1).to(positions.dtype).contiguous()  # (1, grid, grid, C)


def _resize_table(positions: Tensor, length: int) -> Tensor:
    """(2 g - 1, head width) -> (length, head width)."""
    resized = F.interpolate(positions.float().t()[None], size=length, mode="linear", align_corners=False)
    return resized[0].t().to(positions.dtype).contiguous()  # (length, head width)


def hugging_face_config(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """The `config.json` with which `transformers.SamModel` builds the model of these Meta-named weights.

    With HQ-SAM's decoder among them it is `SamHQModel`. The mask decoder's `layer_norm_eps` is 1e-5 as in
    segment_anything, where transformers' default is 1e-6.

    Raises:
        ValueError: a weight from which a size is read is missing.
    """
    sizes = read_architecture(state_dict)
    is_hq = any(map(is_high_quality, state_dict))
    family, decoder_only = ("sam_hq", {"vit_dim": sizes.encoder_width}) if is_hq else ("sam", {})
    return {
        "model_type": family,
        "architectures": ["SamHQModel" if is_hq else "SamModel"],
        "vision_config": {"model_type": f"{family}_vision_model", **_vision_config(state_dict, sizes)},
        "prompt_encoder_config": {
            "model_type": f"{family}_prompt_encoder",
            "hidden_size": sizes.decoder_width,
            "image_size": sizes.image_size,
            "patch_size": sizes.patch_size,
            "mask_input_channels": _shape(state_dict, "prompt_encoder.mask_downscaling.3.weight", dims=4)[0],
        },
        "mask_decoder_config": {
            "model_type": f"{family}_mask_decoder",
            **_mask_decoder_config(state_dict, sizes),
            **decoder_only,
        },
    }


def _vision_config(state_dict: Mapping[str, Tensor], sizes: Architecture) -> dict[str, Any]:
    return {
        "hidden_size": sizes.encoder_width,
        "output_channels": sizes.decoder_width,
        "num_hidden_layers": sizes.encoder_depth,
        "num_attention_heads": sizes.encoder_heads,
        "image_size": sizes.image_size,
        "patch_size": sizes.patch_size,
        "window_size": sizes.window_size,
        "global_attn_indexes": list(sizes.global_attention_blocks),
        "num_pos_feats": _shape(state_dict, _GAUSSIAN, dims=2)[1],
        "mlp_dim": _shape(state_dict, "image_encoder.blocks.0.mlp.lin1.weight", dims=2)[0],
    }


def _mask_decoder_config(state_dict: Mapping[str, Tensor], sizes: Architecture) -> dict[str, Any]:
    cross_width = _shape(state_dict, f"{_TWO_WAY}.final_attn_token_to_image.q_proj.weight", dims=2)[0]
    first_norm = re.compile(rf"{_TWO_WAY}\.layers\.\d+\.norm1\.weight")
    return {
        "hidden_size": sizes.decoder_width,
        "mlp_dim": _shape(state_dict, f"{_TWO_WAY}.layers.0.mlp.lin1.weight", dims=2)[0],
        "num_hidden_layers": sum(first_norm.fullmatch(name) is not None for name in state_dict),
        "num_attention_heads": num_heads_for(sizes.decoder_width),
        "attention_downsample_rate": sizes.decoder_width // cross_width,
        "num_multimask_outputs": _shape(state_dict, "mask_decoder.mask_tokens.weight", dims=2)[0] - 1,
        "iou_head_hidden_dim": _shape(state_dict, "mask_decoder.iou_prediction_head.layers.0.weight", dims=2)[0],
        "layer_norm_eps": 1e-5,
    }
