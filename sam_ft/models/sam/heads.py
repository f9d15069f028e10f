"""Heads that SAM itself does not have, on its mask decoder: added, recognised in weights, kept apart in files."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sam_ft.models.class_head import ClassHead
from sam_ft.models.class_names import decoded_names
from sam_ft.models.sam.hq import is_high_quality
from sam_ft.models.sam.model import Sam
from sam_ft.models.semantic_head import SemanticHead

Head = TypeVar("Head", ClassHead, SemanticHead)

CLASS_HEAD = "mask_decoder.class_head."
"""How the names of a class head's weights begin."""

SEMANTIC_HEAD = "mask_decoder.semantic_head."
"""And those of a semantic head's."""

_HEADS = (CLASS_HEAD, SEMANTIC_HEAD)
_NAMES = "class_names._extra_state"
"""The weight of a head that holds the names of its classes."""

_METADATA = "sam_ft_heads"
"""Where a safetensors file keeps the heads, so that its tensors are those of SAM alone, which other tools load."""


def add_class_head(model: Sam, names: Sequence[str]) -> None:
    """Give the model a head that tells the class of a prompted mask, in place; it learns.

    A head for the very same classes keeps what it has learnt; one for others gives way to a new one. To be called
    after `adapt`, which freezes what it does not know.

    Raises:
        ValueError: no names, an empty one, or one twice.
    """
    head = model.mask_decoder.class_head
    if head is None or head.names != tuple(names):
        head = _placed(ClassHead(_width(model), names), model)
        model.mask_decoder.class_head = head
    head.requires_grad_(True)


def add_semantic_head(model: Sam, names: Sequence[str]) -> None:
    """Give the model a head that tells the class of each pixel without prompts, in place; it learns.

    It begins as variations of the mask of token 0. A head for the very same classes keeps what it has learnt; one for
    others gives way to a new one. What prompts alone need (mask tokens and their perceptrons, the IoU head, the
    embeddings of points, boxes and masks, HQ-SAM's parts) no longer learns. To be called after `adapt`, which freezes
    what it does not know.

    Raises:
        ValueError: no names, an empty one, or one twice; or HQ-SAM's parts alone were to learn.
    """
    decoder, encoder = model.mask_decoder, model.prompt_encoder
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if learning and all(map(is_high_quality, learning)):
        raise ValueError(
            "Expected an `adapt` other than hq for semantic segmentation: HQ-SAM's parts refine masks of prompts alone."
        )
    new = SemanticHead(_width(model), names)
    if decoder.semantic_head is None or decoder.semantic_head.names != new.names:
        decoder.semantic_head = _placed(new, model)
        decoder.semantic_head.start_from(decoder.mask_tokens.weight[0], decoder.output_hypernetworks_mlps[0])
    for unused in (
        decoder.mask_tokens,
        decoder.output_hypernetworks_mlps,
        decoder.iou_prediction_head,
        encoder.point_embeddings,
        encoder.not_a_point_embed,
        encoder.mask_downscaling,
    ):
        unused.requires_grad_(False)
    for name, parameter in model.named_parameters():
        if is_high_quality(name):
            parameter.requires_grad_(False)
    decoder.semantic_head.requires_grad_(True)


def restore_heads(model: Sam, state_dict: Mapping[str, Tensor]) -> None:
    """Give the model the heads that weights have, by their names; their values are not loaded yet."""
    if CLASS_HEAD + _NAMES in state_dict:
        add_class_head(model, decoded_names(state_dict[CLASS_HEAD + _NAMES]))
    if SEMANTIC_HEAD + _NAMES in state_dict:
        names = decoded_names(state_dict[SEMANTIC_HEAD + _NAMES])
        model.mask_decoder.semantic_head = _placed(SemanticHead(_width(model), names), model)


def class_names_in(state_dict: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """The classes of each head that weights have, by the beginning of its names."""
    return {head: decoded_names(state_dict[head + _NAMES]) for head in _HEADS if head + _NAMES in state_dict}


def without_heads(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of SAM alone."""
    return {name: tensor for name, tensor in state_dict.items() if not name.startswith(_HEADS)}


def packed_heads(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """The heads as metadata of a safetensors file; empty where there are none."""
    heads = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items() if name.startswith(_HEADS)}
    return {_METADATA: base64.b64encode(save(heads)).decode("ascii")} if heads else {}


def unpacked_heads(metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """The inverse of `packed_heads`.

    Raises:
        ValueError: the metadata are damaged.
    """
    if _METADATA not in metadata:
        return {}
    try:
        return load(base64.b64decode(metadata[_METADATA], validate=True))
    except (binascii.Error, SafetensorError) as err:
        raise ValueError(f"Expected the weights of heads in the metadata `{_METADATA}`, but they are damaged.") from err


def _width(model: Sam) -> int:
    return model.mask_decoder.iou_token.weight.shape[1]


def _placed(head: Head, model: Sam) -> Head:
    """The head with the device and the dtype of the model."""
    weight = model.mask_decoder.iou_token.weight
    return head.to(device=weight.device, dtype=weight.dtype)
