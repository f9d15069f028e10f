"""Whether a training may go on from a checkpoint, and where it is then."""

from __future__ import annotations

from pathlib import Path

import torch

from sam_ft.any_checkpoints import AnyModel
from sam_ft.checkpoints import load_weights, read_state_dict
from sam_ft.models.adapt.lora import SCALING, has_lora
from sam_ft.models.sam.heads import SEMANTIC_HEAD, class_names_in
from sam_ft.models.sam.model import Sam
from sam_ft.models.unet import classes_of_unet, is_unet


def steps_done_in(resume: str | Path, model: AnyModel, *, averages: bool) -> int:
    """How far a checkpoint has come, after a look at whether it is one of ours and of this model."""
    if not Path(resume).is_file():
        raise ValueError(f"Expected a checkpoint to resume from, but {resume} does not exist.")
    try:
        weights = read_state_dict(resume, merge_lora=False)
        if isinstance(model, Sam) and has_lora(model) and weights.get(SCALING) != model.state_dict()[SCALING]:
            raise ValueError("give the same adapt=lora with the same rank and alpha.")
        heads, own_heads = class_names_in(weights), class_names_in(model.state_dict())
        if (SEMANTIC_HEAD in heads) != (SEMANTIC_HEAD in own_heads):
            raise ValueError("give the same task=...")
        if heads != own_heads or (is_unet(weights) and classes_of_unet(weights) != model.pixel_class_names):
            raise ValueError("give the same classes=...")
        load_weights(model, weights)  # the whole state is Lightning's task
    except ValueError as err:
        raise ValueError(f"Expected a checkpoint of this model to resume from, but {resume} is none: {err}") from err
    content = torch.load(resume, map_location="cpu", weights_only=True) if Path(resume).suffix == ".ckpt" else {}
    if "loops" not in content:
        raise ValueError(
            f"Expected a last.ckpt or best.ckpt to resume from, but {resume} holds weights alone: "
            f"model.weights={resume} starts a new run from them."
        )
    num_trained = sum(len(group["params"]) for state in content["optimizer_states"] for group in state["param_groups"])
    num_to_train = sum(parameter.requires_grad for parameter in model.parameters())
    if num_trained != num_to_train:
        raise ValueError(
            f"Expected a checkpoint that trained the same parts of the model, but {resume} trained {num_trained} "
            f"tensors and this run trains {num_to_train}: give the same adapt=..."
        )
    if ("averaging_state" in content) != averages:
        raise ValueError(
            f"Expected the same averaging of weights, but {resume} was trained {'without' if averages else 'with'} it: "
            "give the same optimiser.ema=..."
        )
    return int(content["global_step"])
