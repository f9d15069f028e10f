"""Our SAM beside `transformers.SamModel` with the same random weights, which went through the real converter."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sam_ft.checkpoints import load_weights, save_meta
from sam_ft.models.sam.hq import add_high_quality
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model
from sam_ft.models.sam.weights import hugging_face_config, meta_from_hugging_face
from sam_ft.types import MaskPrediction, Prompts
from tests.benchmarks.peer_process import PeerProcess

TINY_SIZE = 160
"""A grid of 10 x 10 patches: the windows of 8 do not fit, so that padding is tested too."""


@dataclass(frozen=True)
class Pair:
    """The two models and how to ask the other one."""

    ours: Sam
    theirs: nn.Module

    def theirs_encode(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return self.theirs.vision_encoder(images).last_hidden_state

    def theirs_prompts(self, prompts: Prompts) -> tuple[Tensor | None, Tensor]:
        """Sparse (B, N, T, C) and dense (B, C, h, w) embeddings; of mask prompts only the first object's."""
        with torch.no_grad():
            masks = None if prompts.masks is None else prompts.masks[:, 0, None]  # (B, 1, h, w)
            return self.theirs.prompt_encoder(prompts.points, prompts.labels, prompts.boxes, masks)

    def theirs_decode(self, features: Tensor, prompts: Prompts, *, multimask_output: bool) -> MaskPrediction:
        """Objects with mask prompts one at a time: transformers has one mask per image, not per object."""
        if prompts.masks is not None and prompts.masks.shape[1] > 1:
            each = [
                self.theirs_decode(features, _one_object(prompts, n), multimask_output=multimask_output)
                for n in range(prompts.masks.shape[1])
            ]
            return MaskPrediction(
                low_res_logits=torch.cat([one.low_res_logits for one in each], dim=1),
                iou_predictions=torch.cat([one.iou_predictions for one in each], dim=1),
            )
        with torch.no_grad():
            output = self.theirs(
                image_embeddings=features,
                input_points=prompts.points,
                input_labels=prompts.labels,
                input_boxes=prompts.boxes,
                input_masks=prompts.masks,
                multimask_output=multimask_output,
            )
        return MaskPrediction(low_res_logits=output.pred_masks, iou_predictions=output.iou_scores)


def _one_object(prompts: Prompts, n: int) -> Prompts:
    """Object n of every image alone."""
    given = {kind: getattr(prompts, kind) for kind in ("points", "labels", "boxes", "masks")}
    return Prompts(**{kind: None if value is None else value[:, n : n + 1] for kind, value in given.items()})


_EMBEDDING = re.compile(r"(pos_embed|positional_embedding|(_embed|point_embed\.\d+|_tokens?)\.weight)$")


def redraw(model: nn.Module, generator: torch.Generator) -> None:
    """Every parameter and buffer anew, none left at zero, at scales that keep the activations in bounds."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim == 1:  # biases, and the weights of normalisations
            drawn = 0.2 * noise + float(name.endswith("weight"))
        elif "rel_pos" in name:
            drawn = 0.2 * noise
        elif _EMBEDDING.search(name):
            drawn = 0.7 * noise
        else:
            drawn = noise / tensor[0].numel() ** 0.5
        tensor.data.copy_(drawn)


def make_pair(name: str, image_size: int) -> Pair:
    """Random weights under Hugging Face's names, converted to ours."""
    transformers = pytest.importorskip("transformers", reason="transformers is a development dependency")
    ours = build_model(name, image_size=image_size).eval()
    config = transformers.SamConfig(**hugging_face_config(ours.state_dict()))
    theirs = transformers.SamModel(config).eval()
    redraw(theirs, torch.Generator().manual_seed(7))
    load_weights(ours, meta_from_hugging_face(theirs.state_dict()))
    return Pair(ours=ours, theirs=theirs)


def make_hq_pair(name: str, image_size: int) -> Pair:
    """The same with HQ-SAM's decoder."""
    transformers = pytest.importorskip("transformers", reason="transformers is a development dependency")
    ours = build_model(name, image_size=image_size)
    add_high_quality(ours)
    theirs = transformers.SamHQModel(transformers.SamHQConfig(**hugging_face_config(ours.state_dict()))).eval()
    redraw(theirs, torch.Generator().manual_seed(7))
    theirs.mask_decoder.transformer.register_forward_hook(_hand_over_image, with_kwargs=True)
    load_weights(ours, meta_from_hugging_face(theirs.state_dict()))
    return Pair(ours=ours.eval(), theirs=theirs)


def _hand_over_image(module: nn.Module, args: object, kwargs: dict[str, Tensor], output: tuple[Tensor, Tensor]) -> None:
    """Mends SamHQMaskDecoder of transformers 5.23, which drops the image features that its transformer returns.

    It goes on with the input, height and width exchanged (as if it were the output, flat); SysCV/sam-hq and SamModel
    go on with the output. Here the input becomes the output, exchanged once more.
    """
    given = kwargs["image_embeddings"]  # (B * N, C, h, w), h = w
    returned = output[1].flatten(0, 1).transpose(1, 2).reshape(given.shape)
    given.copy_(returned.transpose(2, 3))


Outputs = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def segment_anything(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outputs]:
    """What the original answers for some cases, each part of an answer as `CASE.PART`."""
    if find_spec("segment_anything") is None:
        pytest.skip("segment-anything is a development dependency")

    def ask(
        model: Sam, architecture: dict[str, Any], *, images: dict[str, np.ndarray], cases: dict[str, Any]
    ) -> Outputs:
        folder = tmp_path_factory.mktemp("segment_anything")
        save_meta(model, folder / "sam.pth")
        (folder / "architecture.json").write_text(json.dumps(architecture))
        (folder / "cases.json").write_text(json.dumps(cases))
        np.savez(folder / "images.npz", **images)
        peer = Path(__file__).with_name("segment_anything_peer.py")
        with PeerProcess(Path(sys.executable), peer, folder=folder) as process:
            return process.output()

    return ask


@pytest.fixture(scope="session")
def redrawn() -> Callable[[nn.Module], nn.Module]:
    """The model itself, after all its weights were drawn anew."""

    def draw(model: nn.Module) -> nn.Module:
        redraw(model, torch.Generator().manual_seed(7))
        return model

    return draw


@pytest.fixture(scope="package")
def tiny_hq() -> Pair:
    return make_hq_pair("vit_tiny", TINY_SIZE)


@pytest.fixture(scope="package")
def tiny() -> Pair:
    return make_pair("vit_tiny", TINY_SIZE)


@pytest.fixture(scope="package")
def base() -> Pair:
    return make_pair("vit_b", 1024)


@pytest.fixture(scope="session")
def largest_difference() -> Callable[[Tensor, Tensor], float]:
    """The largest absolute difference as a share of the largest absolute value."""

    def measure(ours: Tensor, theirs: Tensor) -> float:
        assert ours.shape == theirs.shape
        return float((ours - theirs).abs().max() / theirs.abs().max())

    return measure
