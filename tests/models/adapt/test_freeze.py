from __future__ import annotations

import pytest
import torch

from sam_ft.models.adapt.freeze import PARTS, TrainNormsAndBiases, TrainParts
from sam_ft.models.sam.variants import build_model
from sam_ft.types import Prompts


@pytest.fixture
def model():
    return build_model("vit_tiny", image_size=32)


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def trained_parts(model) -> set[str]:
    return {name.partition(".")[0] for name in trained(model)}


def backward(model) -> None:
    embedding = model.encode_image(torch.randn(1, 3, 32, 32))
    prompts = Prompts(boxes=torch.tensor([[[3.0, 4.0, 20.0, 25.0]]]))
    prediction = model.decode(embedding, prompts, multimask_output=None)
    (prediction.low_res_logits.square().mean() + prediction.iou_predictions.square().mean()).backward()


def test_the_parts_are_those_of_the_model(model):
    assert tuple(name for name, _ in model.named_children()) == PARTS


def test_by_default_every_parameter_learns(model):
    TrainParts()(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    backward(model)
    assert model.image_encoder.patch_embed.proj.weight.grad.any()


@pytest.mark.parametrize("parts", [("mask_decoder",), ("prompt_encoder", "mask_decoder")])
def test_every_parameter_of_the_chosen_parts_learns_and_no_other(model, parts):
    TrainParts(parts)(model)
    assert trained(model) == {name for name, _ in model.named_parameters() if name.startswith(parts)}
    backward(model)
    with_gradient = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == set(parts)


def test_frozen_image_encoder_builds_no_graph(model):
    TrainParts(("mask_decoder",))(model)
    assert not model.encode_image(torch.randn(1, 3, 32, 32)).features.requires_grad


def test_a_later_choice_replaces_an_earlier_one(model):
    TrainParts(("mask_decoder",))(model)
    TrainParts()(model)
    assert trained_parts(model) == set(PARTS)
    TrainNormsAndBiases(beside=())(model)
    assert trained_parts(model) == {"image_encoder"}


def test_norms_and_biases_of_the_image_encoder_learn_beside_the_decoder(model):
    TrainNormsAndBiases()(model)
    in_encoder = {name for name in trained(model) if name.startswith("image_encoder.")}
    block = {f"image_encoder.blocks.0.{name}" for name in ("norm1.weight", "norm2.bias", "attn.qkv.bias")}
    neck = {"image_encoder.neck.1.weight", "image_encoder.neck.3.bias"}
    assert block | neck | {"image_encoder.patch_embed.proj.bias"} <= in_encoder
    assert all(model.get_parameter(name).ndim == 1 for name in in_encoder)
    one_dimensional = {n for n, p in model.named_parameters() if n.startswith("image_encoder.") and p.ndim == 1}
    assert in_encoder == one_dimensional
    assert trained_parts(model) == {"image_encoder", "mask_decoder"}
    assert all(parameter.requires_grad for parameter in model.mask_decoder.parameters())


def test_unknown_parts_are_told_the_known_ones():
    for build in (lambda: TrainParts(("heads",)), lambda: TrainNormsAndBiases(beside=("heads",))):
        with pytest.raises(ValueError, match=r"image_encoder, prompt_encoder, mask_decoder, but got \('heads',\)"):
            build()


@pytest.mark.parametrize("parts", [(), "mask_decoder"])
def test_parts_are_several_names_and_at_least_one(parts):
    with pytest.raises(ValueError, match="`parts`"):
        TrainParts(parts)
