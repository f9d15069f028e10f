"""The published sizes of SAM, and `vit_tiny`, ours, which trains on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sam_ft.models.mask_decoder import MaskDecoder
from sam_ft.models.prompt_encoder import PromptEncoder
from sam_ft.models.sam.drawn_prompts import has_drawn_prompts
from sam_ft.models.sam.heads import without_heads
from sam_ft.models.sam.hq import is_high_quality
from sam_ft.models.sam.image_encoder import ImageEncoder
from sam_ft.models.sam.model import Sam


def sam(
    *,
    image_size: int,
    patch_size: int = 16,
    encoder_width: int,
    encoder_depth: int,
    encoder_heads: int,
    global_attention_blocks: tuple[int, ...],
    window_size: int = 14,
    decoder_width: int = 256,
) -> Sam:
    """A SAM of any size. The decoder's perceptrons are 8 times as wide as its tokens, as published."""
    return Sam(
        ImageEncoder(
            image_size=image_size,
            patch_size=patch_size,
            width=encoder_width,
            depth=encoder_depth,
            num_heads=encoder_heads,
            global_attention_blocks=global_attention_blocks,
            window_size=window_size,
            out_channels=decoder_width,
        ),
        PromptEncoder(width=decoder_width, image_size=image_size, embedding_size=image_size // patch_size),
        MaskDecoder(width=decoder_width, mlp_width=8 * decoder_width, iou_head_width=decoder_width),
    )


def vit_tiny(*, image_size: int = 512) -> Sam:
    """Encoder of 3 M parameters and a decoder of half the published width: trains on a CPU."""
    return sam(
        image_size=image_size,
        encoder_width=192,
        encoder_depth=6,
        encoder_heads=3,
        global_attention_blocks=(2, 5),
        window_size=8,
        decoder_width=128,
    )


def vit_b(*, image_size: int = 1024) -> Sam:
    """SAM ViT-B: 94 M parameters."""
    return sam(
        image_size=image_size,
        encoder_width=768,
        encoder_depth=12,
        encoder_heads=12,
        global_attention_blocks=(2, 5, 8, 11),
    )


def vit_l(*, image_size: int = 1024) -> Sam:
    """SAM ViT-L: 312 M parameters."""
    return sam(
        image_size=image_size,
        encoder_width=1024,
        encoder_depth=24,
        encoder_heads=16,
        global_attention_blocks=(5, 11, 17, 23),
    )


def vit_h(*, image_size: int = 1024) -> Sam:
    """SAM ViT-H: 641 M parameters."""
    return sam(
        image_size=image_size,
        encoder_width=1280,
        encoder_depth=32,
        encoder_heads=16,
        global_attention_blocks=(7, 15, 23, 31),
    )


VARIANTS: dict[str, Callable[..., Sam]] = {"vit_tiny": vit_tiny, "vit_b": vit_b, "vit_l": vit_l, "vit_h": vit_h}


def build_model(name: str, *, image_size: int | None = None) -> Sam:
    """A model by name, with random weights.

    Args:
        name: `vit_tiny`, `vit_b`, `vit_l` or `vit_h`.
        image_size: side of the square input in pixels, a multiple of 16; None: the size's own (512 for `vit_tiny`,
            else 1024).

    Raises:
        ValueError: for an unknown name or an image size that the patches do not divide.
    """
    if name not in VARIANTS:
        raise ValueError(f"Expected the name of a model, one of {', '.join(VARIANTS)}, but got {name!r}.")
    build = VARIANTS[name]
    return build() if image_size is None else build(image_size=image_size)


def variant_of(model: Sam) -> str | None:
    """The name of a model's size at any image size, whatever is added to it; None for a size without one."""
    shapes = _shapes(model)
    for name, build in VARIANTS.items():
        with torch.device("meta"):
            if _shapes(build()) == shapes:
                return name
    return None


def _shapes(model: Sam) -> dict[str, torch.Size]:
    """The shape of each weight of the SAM itself that does not depend on the image size."""
    return {
        name: tensor.shape
        for name, tensor in without_heads(model.state_dict()).items()
        if "pos" not in name.rpartition(".")[2] and ".adapter." not in name and not _is_added(name)
    }


def _is_added(name: str) -> bool:
    """Whether a weight is one of those that HQ-SAM or drawn prompts add."""
    return is_high_quality(name) or has_drawn_prompts((name,))
