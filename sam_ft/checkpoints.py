"""Weights on disk: reads Meta, Hugging Face, MedSAM and Lightning files, loads them with a report, writes them whole.

Whatever the file, `read_state_dict` returns Meta's names, which are ours. Files are unpickled with
`weights_only=True` and nothing else; what cannot be read, or does not fit, is a `ValueError` that says why.
"""

from __future__ import annotations

import json
import logging
import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sam_ft.files import atomic_write, write_json
from sam_ft.known_weights import weights_path
from sam_ft.models.adapt.adapter import add_adapters
from sam_ft.models.adapt.lora import merged_weights
from sam_ft.models.mask_decoder import num_heads_for
from sam_ft.models.sam.drawn_prompts import draw_prompts, has_drawn_prompts
from sam_ft.models.sam.heads import packed_heads, restore_heads, unpacked_heads, without_heads
from sam_ft.models.sam.hq import add_high_quality, is_high_quality
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import sam
from sam_ft.models.sam.weights import (
    StateDict,
    expect_published_names,
    hugging_face_config,
    hugging_face_from_meta,
    meta_from_hugging_face,
    read_architecture,
    resize_positions,
)
from sam_ft.models.unet import is_unet

_log = logging.getLogger(__name__)

PathLike = str | Path

_PART = re.compile(r"^(?P<prefix>(?:.*?\.)?)(?:image_encoder|vision_encoder|prompt_encoder|mask_decoder)\.")
"""What stands before the first of SAM's parts in a name is a wrapper's prefix: `module.`, `model.`, ..."""

_ADAPTER = re.compile(r"image_encoder\.blocks\.\d+\.adapter\.")
"""The beginning of the names by which a SAM with adapters is recognised."""

_SHOWN = 5
"""How many names a report spells out; the rest are counted."""


# Reading


def read_state_dict(path: PathLike, *, prefix: str | None = None, merge_lora: bool = True) -> StateDict:
    """Reads the weights of a SAM from a file or folder, on the CPU, under Meta's names.

    Understood are Meta's `.pth`; a folder of Hugging Face (`config.json` and `model.safetensors`, in one piece or
    several); `.safetensors` with either's names; MedSAM's `.pth` (`{"model": ...}` or plain); Lightning's `.ckpt`
    (`{"state_dict": ...}`); and each of these behind the prefixes of DistributedDataParallel, Lightning or
    torch.compile. Names that lack the prefix are no part of the SAM and are left out.

    Args:
        path: the file or folder, or a name that `sam_ft.known_weights` has, whose file is fetched on first use.
        prefix: which of several SAMs in one file (`"ema."`); None expects one.
        merge_lora: make the updates of a training with LoRA a part of the weights, as of a plain SAM.

    Raises:
        ValueError: nothing is there, a known name's file cannot be fetched, the file is truncated or of another kind,
            it is a DeepSpeed folder, it holds no SAM or several. The message names the path and the reason.
    """
    path = weights_path(path)
    tensors = _read_folder(path) if path.is_dir() else _read_file(path)
    stripped = _strip_prefix(tensors, path=path, prefix=prefix)
    if any(name.startswith("vision_encoder.") for name in stripped):
        stripped = meta_from_hugging_face(stripped)
    return merged_weights(stripped) if merge_lora else stripped


def _read_folder(folder: Path) -> StateDict:
    if (folder / "latest").is_file() or (folder / "zero_to_fp32.py").is_file() or any(folder.glob("*mp_rank_*")):
        raise ValueError(
            f"{folder} is a DeepSpeed checkpoint, whose weights lie in several files. Merge them into one first: "
            f"python -m deepspeed.utils.zero_to_fp32 {folder} merged, then give the file in merged/."
        )
    if (folder / "config.json").is_file():
        _check_config(folder / "config.json")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        pieces = sorted(set(_read_json(index).get("weight_map", {}).values()))
        return {name: tensor for piece in pieces for name, tensor in _read_safetensors(folder / piece).items()}
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return _read_file(folder / name)
    raise ValueError(f"Expected a folder of Hugging Face with model.safetensors, but {folder} has none.")


def _check_config(path: Path) -> None:
    """Refuses folders whose `config.json` describes a model that the weights alone would not give away."""
    config = _read_json(path)
    if config.get("model_type") not in ("sam", "sam_hq"):
        raise ValueError(
            f'Expected the `model_type` "sam" or "sam_hq" in {path}, but got "{config.get("model_type")}".'
        )
    decoder = config.get("mask_decoder_config") or {}
    expected = num_heads_for(decoder.get("hidden_size", 256))
    heads = decoder.get("num_attention_heads", 8)  # where they are left out, Hugging Face means SAM's
    if heads != expected:
        raise ValueError(f"Expected a mask decoder with {expected} heads in {path}, but got {heads}.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise ValueError(f"Expected JSON in {path}, but it cannot be read: {_one_line(err)}") from err
    if not isinstance(content, dict):
        raise ValueError(f"Expected a JSON object in {path}, but got {type(content).__name__}.")
    return content


def _read_file(path: Path) -> StateDict:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _weights_of(_unpickle(path), path=path)


def _read_safetensors(path: Path) -> StateDict:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return {**load_file(path), **unpacked_heads(metadata)}
    except (SafetensorError, OSError, ValueError) as err:
        raise ValueError(f"Expected a safetensors file, but {path} is truncated or foreign: {_one_line(err)}") from err


def _unpickle(path: Path) -> object:
    with path.open("rb") as file:
        beginning = file.read(4)
    if beginning[:2] != b"PK" and beginning[:1] != b"\x80":
        raise ValueError(f"Expected a PyTorch checkpoint, but {path} is another kind of file (or empty).")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        refused = re.search(r"GLOBAL (\S+)", str(err))
        if refused is None:
            raise ValueError(f"Expected a PyTorch checkpoint, but {path} is truncated or foreign.") from err
        raise ValueError(
            f"Expected weights alone in {path}, but it also holds a {refused[1]}, and unpickling objects could run any "
            "code. Where the file was made, save the weights alone: torch.save(model.state_dict(), path)."
        ) from err
    except Exception as err:  # damaged bytes make the unpickler raise anything
        reason = f"truncated or foreign: {_one_line(err)}"
        raise ValueError(f"Expected a PyTorch checkpoint, but {path} is {reason}") from err


def _weights_of(content: object, *, path: Path) -> StateDict:
    """The tensors in an unpickled file, which may lie under `state_dict` (Lightning) or `model` (MedSAM)."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ValueError(f"Expected a state dict in {path}, but got {type(content).__name__}.")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _strip_prefix(tensors: StateDict, *, path: Path, prefix: str | None) -> StateDict:
    """Keeps the names of one SAM, without what its wrappers put before and (torch.compile) into them."""
    names = {name: name.replace("_orig_mod.", "") for name in tensors}
    prefixes = {old: _prefix(new) for old, new in names.items()}
    found = sorted({part for part in prefixes.values() if part is not None})
    if not found:
        raise ValueError(f"Expected the weights of a SAM in {path}, but its names are {_listed(tuple(tensors))}.")
    if prefix is None and len(found) > 1:
        raise ValueError(
            f"Expected one SAM in {path}, but it holds several: choose with `read_state_dict(path, prefix=...)`, "
            f"one of {found}."
        )
    if prefix is not None and prefix not in found:
        raise ValueError(f"Expected `prefix` to be one of {found} for {path}, but got {prefix!r}.")
    chosen = found[0] if prefix is None else prefix
    kept = {
        new[len(chosen) :]: tensors[old]
        for old, new in names.items()
        if new.startswith(chosen) and prefixes[old] in (chosen, None)
    }
    if len(kept) < len(tensors):
        _log.info("%s: left out %d tensors that are no part of the SAM.", path, len(tensors) - len(kept))
    return kept


def _prefix(name: str) -> str | None:
    """What stands before the first of SAM's parts; None where there is none."""
    match = _PART.match(name)
    return None if match is None else match["prefix"]


# Loading


@dataclass(frozen=True)
class ShapeMismatch:
    """A weight that has one shape in the checkpoint and another in the model."""

    name: str
    found: tuple[int, ...]
    expected: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.found} where the model has {self.expected}"


@dataclass(frozen=True)
class CoverageReport:
    """What of a model came from a checkpoint, by name; `str` of it is one readable line."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]  # in the model alone
    unexpected: tuple[str, ...]  # in the checkpoint alone
    mismatched: tuple[ShapeMismatch, ...]
    share: float  # of the model's numbers (parameters and buffers), 0 to 1

    @property
    def complete(self) -> bool:
        """Whether model and checkpoint have the same names and shapes."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        percent = math.floor(1000 * self.share) / 10  # 100.0 only for all of it
        parts = [f"Loaded {len(self.loaded)} of {total} tensors ({percent} % of the model)."]
        for title, names in (
            ("Missing in the checkpoint", self.missing),
            ("Unknown to the model", self.unexpected),
            ("Of another shape", tuple(map(str, self.mismatched))),
        ):
            if names:
                parts.append(f"{title} ({len(names)}): {_listed(names)}.")
        return " ".join(parts)


def load_weights(model: nn.Module, state_dict: Mapping[str, Tensor], *, partial: bool = False) -> CoverageReport:
    """Copies weights into a model by name and says what came in.

    Args:
        model: its parameters and buffers keep their device and dtype.
        state_dict: weights under the model's own (Meta's) names.
        partial: accepts missing and unknown names, which the report lists.

    Raises:
        ValueError: no name matches; a shape differs; or, unless `partial`, a name is missing or unknown. The model
            is unchanged then.
    """
    own = model.state_dict()
    report = _compare(own, state_dict)
    if not report.loaded and not report.mismatched:
        raise ValueError(
            f"Expected weights for names such as {_listed(tuple(own))}, but the checkpoint has "
            f"{_listed(tuple(state_dict))}: nothing matches."
        )
    if report.mismatched:
        raise ValueError(
            f"Expected weights of the model's shapes. {report} For another image size use `resize_positions`."
        )
    if not report.complete and not partial:
        raise ValueError(f"Expected weights for exactly this model; pass `partial=True` to accept this. {report}")
    model.load_state_dict({name: state_dict[name] for name in report.loaded}, strict=False)
    return report


def _compare(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> CoverageReport:
    shared = [name for name in own if name in given]
    loaded = tuple(name for name in shared if own[name].shape == given[name].shape)
    total = sum(tensor.numel() for tensor in own.values())
    return CoverageReport(
        loaded=loaded,
        missing=tuple(name for name in own if name not in given),
        unexpected=tuple(name for name in given if name not in own),
        mismatched=tuple(
            ShapeMismatch(name=name, found=tuple(given[name].shape), expected=tuple(own[name].shape))
            for name in shared
            if own[name].shape != given[name].shape
        ),
        share=sum(own[name].numel() for name in loaded) / max(total, 1),
    )


def load_model(path: PathLike, *, image_size: int | None = None) -> Sam:
    """Builds the SAM that a checkpoint holds, its sizes read from the weights, and loads it; it comes in `eval` mode.

    Adapters, HQ-SAM's decoder, drawn prompts and heads are recognised by their names; a checkpoint with LoRA gives the
    plain SAM that answers alike.

    Args:
        path: anything that `read_state_dict` reads, by its path or by a known name, such as `sam_vit_b`.
        image_size: another side of the frame in pixels; the position tables are interpolated. None keeps the
            checkpoint's own.

    Raises:
        ValueError: the checkpoint cannot be read or is no SAM with a ViT encoder; the message names the path.
    """
    return model_with(read_state_dict(path), path=path, image_size=image_size)


def model_with(state_dict: StateDict, *, path: PathLike, image_size: int | None = None) -> Sam:
    """`load_model` of weights that have been read already from `path`."""
    try:
        if is_unet(state_dict):
            raise ValueError(
                "Expected a SAM, but it holds a U-Net, which takes no prompts: sam-ft evaluate measures it."
            )
        if image_size is not None:
            state_dict = resize_positions(state_dict, image_size)
        with torch.device("meta"):  # no numbers are drawn only to be overwritten
            model = sam(**asdict(read_architecture(state_dict)))
            if any(_ADAPTER.match(name) for name in state_dict):
                add_adapters(model)
            if any(map(is_high_quality, state_dict)):
                add_high_quality(model)
            if has_drawn_prompts(state_dict):
                draw_prompts(model)
            restore_heads(model, state_dict)
        model.to_empty(device="cpu")
        report = load_weights(model, state_dict)
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err
    _log.info("%s: %s", path, report)
    return model.eval()


# Writing


def save_meta(model: nn.Module, path: PathLike) -> None:
    """Writes a plain state dict with Meta's names (`.pth`), which segment_anything and MedSAM load.

    LoRA is merged; heads, for which these have no place, are left out.

    Raises:
        ValueError: the model has other weights beyond SAM's (and HQ-SAM's), such as adapters or drawn prompts, without
            which those would answer differently.
    """
    weights = _portable(model.state_dict())
    expect_published_names(weights)
    with atomic_write(Path(path)) as temporary:
        torch.save(weights, temporary)


def save_safetensors(model: nn.Module, path: PathLike) -> None:
    """Writes a `.safetensors` file with Meta's names; its metadata say so, and the image size. LoRA is merged.

    Heads are kept in the metadata too, where `load_model` finds them and other tools do not stumble over them.
    """
    weights = _portable(model.state_dict())
    metadata = {"format": "pt", "names": "segment_anything", "image_size": str(read_architecture(weights).image_size)}
    metadata |= packed_heads(model.state_dict())
    with atomic_write(Path(path)) as temporary:
        save_file(weights, temporary, metadata=metadata)


def save_hugging_face(model: nn.Module, folder: PathLike) -> None:
    """Writes `model.safetensors` and `config.json`, which `transformers.SamModel.from_pretrained(folder)` loads.

    LoRA is merged; heads, for which transformers has no place, are left out. With HQ-SAM's decoder it is `SamHQModel`.

    Raises:
        ValueError: the model has other weights beyond SAM's.
    """
    weights = _portable(model.state_dict())
    config = hugging_face_config(weights)
    with atomic_write(Path(folder) / "model.safetensors") as temporary:
        save_file(hugging_face_from_meta(weights), temporary, metadata={"format": "pt"})
    write_json(Path(folder) / "config.json", config)


def _portable(state_dict: Mapping[str, Tensor]) -> StateDict:
    """The weights of the plain SAM, on the CPU."""
    plain = merged_weights(without_heads(state_dict))
    return {name: tensor.detach().cpu().contiguous() for name, tensor in plain.items()}


def _listed(names: tuple[str, ...]) -> str:
    """The first names and how many more there are; "none" for an empty tuple."""
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _one_line(err: BaseException) -> str:
    return str(err).strip().partition("\n")[0] or type(err).__name__
