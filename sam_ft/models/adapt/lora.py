"""Low-rank updates of the image encoder's linear layers, through peft.

Source: Hu et al. 2022 (LoRA), section 4.1; Liu et al. 2024 (DoRA), equation 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sam_ft.checks import expect_whole_number
from sam_ft.files import atomic_write, write_json
from sam_ft.models.adapt.freeze import known_parts
from sam_ft.models.sam.heads import without_heads
from sam_ft.models.sam.model import Sam
from sam_ft.optional import require

_ADAPTER = "default"
"""How peft calls an adapter without a name."""

SCALING = "image_encoder.update_scaling"
"""The buffer that tells what an update counts, so that weights with LoRA can be merged without their settings."""

_BASE = "base_layer.weight"
_DOWN, _UP, _MAGNITUDE = (f"lora_{kind}.{_ADAPTER}.weight" for kind in ("A", "B", "magnitude_vector"))
_PEFT_PREFIX = "base_model.model."
"""What peft's files put before the names of the model that it wraps."""


@dataclass(frozen=True)
class Lora:
    """Low-rank updates of some linear layers learn, and what is named beside them; the rest stays as it is.

    Attributes:
        rank: of the updates.
        alpha: an update counts `alpha / rank`.
        dropout: share of a layer's inputs that its update does not see in training.
        dora: learn the length of each row of the weights apart from its direction.
        layers: the updated linear layers of the image encoder: regular expressions of names such as
            `image_encoder.blocks.0.attn.qkv`, or of their ends after a dot.
        beside: parts that learn whole beside them.

    Raises:
        ValueError: a setting is out of range, or a part is unknown or is the image encoder itself.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    dora: bool = False
    layers: tuple[str, ...] = (r"attn\.qkv", r"attn\.proj")
    beside: tuple[str, ...] = ("mask_decoder",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "beside", known_parts("beside", self.beside))
        object.__setattr__(self, "layers", tuple(self.layers))
        expect_whole_number("rank", self.rank, least=1)
        if not self.alpha > 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"Expected `alpha` above 0 and `dropout` in [0, 1), but got {self.alpha} and {self.dropout}."
            )
        if "image_encoder" in self.beside:
            raise ValueError("Expected `beside` without image_encoder, which LoRA leaves frozen, but got it.")

    def __call__(self, model: Sam) -> None:
        """Add the updates, which change nothing yet, and choose what learns, in place.

        Raises:
            ValueError: the model has updates already, or `layers` names no linear layer of its image encoder.
            MissingPackageError: peft is not installed.
        """
        peft = require("peft", extra="peft")
        if has_lora(model):
            raise ValueError("Expected a model without LoRA, but it has some: `merge` makes them part of its weights.")
        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            use_dora=self.dora,
            target_modules=self._names(model),
        )
        peft.inject_adapter_in_model(config, model, adapter_name=_ADAPTER)  # freezes everything else
        device = model.image_encoder.pos_embed.device
        model.image_encoder.register_buffer("update_scaling", torch.tensor(self.alpha / self.rank, device=device))
        for part in self.beside:
            model.get_submodule(part).requires_grad_(True)

    def _names(self, model: Sam) -> list[str]:
        """The full names of the layers to update."""
        linear = [
            f"image_encoder.{name}"
            for name, module in model.image_encoder.named_modules()
            if isinstance(module, nn.Linear)
        ]
        pattern = re.compile(rf"(?:.*\.)?(?:{'|'.join(self.layers)})")
        chosen = [name for name in linear if pattern.fullmatch(name)]
        if not chosen:
            raise ValueError(
                f"Expected `layers` to name linear layers of the image encoder, such as {linear[0]}, but got "
                f"{list(self.layers)}."
            )
        return chosen


def has_lora(model: Sam) -> bool:
    """Whether a model has updates that are no part of its weights yet."""
    return hasattr(model.image_encoder, "update_scaling")


def merged_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the plain model that answers alike; all but the updated ones are the very same tensors.

    Args:
        weights: of a model with LoRA, or of one without, under the model's own names.

    Raises:
        ValueError: there are updates that `Lora` has not made.
    """
    merged = {}
    for name, tensor in weights.items():
        updated = f"{name.partition('.lora_')[0]}.{_BASE}"
        if name == SCALING or (".lora_" in name and updated in weights):
            continue
        layer, is_updated, rest = name.rpartition("base_layer.")
        merged[layer + rest] = _merged_layer(weights, layer) if is_updated and rest == "weight" else tensor
    return merged


def _merged_layer(weights: Mapping[str, Tensor], layer: str) -> Tensor:
    """W + s B A, and with DoRA its rows at the learnt lengths: (out, in)."""
    if SCALING not in weights:
        raise ValueError(f"Expected `{SCALING}` beside the updates of {layer[:-1]}, but it is missing.")
    base = weights[layer + _BASE]
    update = weights[layer + _UP].double() @ weights[layer + _DOWN].double()
    weight = base.double() + weights[SCALING].double() * update
    if layer + _MAGNITUDE in weights:
        lengths = torch.linalg.norm(weight, dim=1, keepdim=True)  # (out, 1)
        weight = weight * weights[layer + _MAGNITUDE].double()[:, None] / lengths
    return weight.to(base.dtype)


@torch.no_grad()
def merge(model: Sam) -> Sam:
    """Make the updates a part of the weights, in place: a plain SAM that answers alike.

    Returns:
        The model; one without LoRA stays as it is.
    """
    if not has_lora(model):
        return model
    weights = merged_weights(model.state_dict())
    for name, module in list(model.named_modules()):
        if hasattr(module, "base_layer"):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.base_layer)
    del model.image_encoder.update_scaling
    del model.peft_config
    model.load_state_dict(weights)
    return model


def save_adapter(model: Sam, folder: str | Path) -> None:
    """Write what was learnt alone, as `peft.PeftModel.from_pretrained(sam, folder)` loads it onto the original SAM.

    The folder holds `adapter_config.json` and `adapter_model.safetensors`: the updates, and whole parts that learnt
    beside them.

    Raises:
        ValueError: the model has no LoRA.
    """
    peft = require("peft", extra="peft")
    if not has_lora(model):
        raise ValueError("Expected a model with LoRA, but it has none: it may be merged already.")
    parts = [
        name
        for name, part in model.named_children()
        if name != "image_encoder" and any(p.requires_grad for p in part.parameters())
    ]
    weights = dict(peft.get_peft_model_state_dict(model, adapter_name=_ADAPTER))
    plain = without_heads(model.state_dict())  # the original SAM has no place for heads
    weights |= {name: tensor for name, tensor in plain.items() if name.partition(".")[0] in parts}
    portable = {_PEFT_PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic_write(Path(folder) / "adapter_model.safetensors") as path:
        save_file(portable, path, metadata={"format": "pt"})
    write_json(Path(folder) / "adapter_config.json", _portable_config(model, parts))


def _portable_config(model: Sam, parts: list[str]) -> dict[str, Any]:
    """peft's own settings, with the parts that learnt whole."""
    config: dict[str, Any] = model.peft_config[_ADAPTER].to_dict()  # type: ignore[index, operator, union-attr]
    config |= {"modules_to_save": parts or None, "inference_mode": True}
    return {name: sorted(value) if isinstance(value, set) else value for name, value in sorted(config.items())}
