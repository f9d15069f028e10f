"""What an embedding depends on, as keys: another encoder, image or preparation gives another key.

So nothing on the disk is ever wrong, only of no use to a training that asks for other keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sam_ft.data.augment import AlbumentationsPipeline
from sam_ft.data.collation import Prepare
from sam_ft.masks.areas import mask_areas
from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.models.fingerprint import add_weights
from sam_ft.models.sam.image_encoder import WindowedBlock, blocks_of
from sam_ft.models.sam.model import Sam
from sam_ft.types import Sample

_FORMAT = 1
"""To be raised where the same weights and pixels come to give another embedding, or a row is kept otherwise."""


def expect_frozen(model: Sam) -> None:
    """Find out whether the image encoder says the same of an image in every step.

    Raises:
        ValueError: a part of it learns, or it draws random numbers.
    """
    encoder = model.image_encoder
    if learns := sum(parameter.requires_grad for parameter in encoder.parameters()):
        raise ValueError(
            f"Expected a frozen image encoder for the embedding cache, but {learns} of its tensors learn: give "
            "adapt=decoder, prompt_and_decoder or hq, or leave embedding_cache.folder=null."
        )
    if rate := max(block.drop_path for block in blocks_of(encoder)):
        raise ValueError(
            f"Expected an image encoder without drop path for the embedding cache, but its rate is {rate}: give "
            "model.drop_path=0, or leave embedding_cache.folder=null."
        )
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in encoder.modules()):
        raise ValueError(
            "Expected an image encoder without dropout for the embedding cache, but it has some: leave "
            "embedding_cache.folder=null."
        )


def encoder_key(model: Sam, *, autocast: torch.dtype | None = None) -> str:
    """Of the image encoder's weights and architecture, the size of its images, and what of it the decoder takes.

    Args:
        model: with the image encoder.
        autocast: the type in which it computes, where that is not its own.
    """
    encoder = model.image_encoder
    architecture = {
        "format": _FORMAT,
        "image_size": model.image_size,
        "autocast": None if autocast is None else str(autocast),
        "early_features": model.mask_decoder.uses_early_features,
        "blocks": [
            (type(block).__name__, block.attn.num_heads, block.window_size if isinstance(block, WindowedBlock) else 0)
            for block in blocks_of(encoder)
        ],
    }
    digest = _digest(architecture)
    add_weights(digest, encoder)
    return digest.hexdigest()


def image_signature(sample: Sample) -> str:
    """Of the pixels of a sample's image."""
    digest = _digest(list(sample.image.shape))
    digest.update(sample.image.contiguous().numpy().data)
    return digest.hexdigest()


def window_signature(sample: Sample) -> str:
    """Of that of a sample's objects on which it depends what random windows show."""
    masks = sample.masks[mask_areas(sample.masks) > 0]
    return _digest([list(sample.image.shape), boxes_of_masks(masks).tolist()]).hexdigest()


def row_key(signatures: Sequence[str], prepare: Prepare, *, view: Sequence[int]) -> str:
    """Of one view of one image.

    Args:
        signatures: of what the sample shows.
        prepare: what it goes through.
        view: the seed of what is random in that; of no effect where nothing is.
    """
    window = None if prepare.window is None else list(prepare.window.sides)
    if not prepare.is_random:
        return _digest([*signatures]).hexdigest()
    return _digest([*signatures, window, _augmentation(prepare), list(view)]).hexdigest()


def _augmentation(prepare: Prepare) -> Any:
    """An augmentation as JSON takes it.

    Raises:
        ValueError: it is none that can be described.
    """
    if prepare.augment is None:
        return None
    if not isinstance(prepare.augment, AlbumentationsPipeline):
        raise ValueError(f"Expected an augmentation by name for the embedding cache, but got {prepare.augment}.")
    return prepare.augment.describe()


def _digest(content: object) -> Any:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16)
