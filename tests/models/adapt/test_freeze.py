from __future__ import annotations

import pytest
import torch

from sam_ft.models.adapt.freeze import ADAPT, adapt
from sam_ft.models.sam.variants import build_model
from sam_ft.types import Prompts


@pytest.fixture
def model():
    return build_model("vit_tiny", image_size=32)


def trained_parts(model) -> set[str]:
    return {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}


def backward(model) -> None:
    embedding = model.encode_image(torch.randn(1, 3, 32, 32))
    prompts = Prompts(boxes=torch.tensor([[[3.0, 4.0, 20.0, 25.0]]]))
    prediction = model.decode(embedding, prompts, multimask_output=None)
    (prediction.low_res_logits.square().mean() + prediction.iou_predictions.square().mean()).backward()


def test_full_trains_every_parameter(model):
    adapt(model, "full")
    assert all(parameter.requires_grad for parameter in model.parameters())
    backward(model)
    assert model.image_encoder.patch_embed.proj.weight.grad.any()


def test_decoder_trains_every_parameter_of_the_mask_decoder_and_nothing_else(model):
    adapt(model, "decoder")
    assert trained_parts(model) == {"mask_decoder"}
    assert all(parameter.requires_grad for parameter in model.mask_decoder.parameters())
    backward(model)
    with_gradient = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == {"mask_decoder"}


def test_frozen_image_encoder_builds_no_graph(model):
    adapt(model, "decoder")
    assert not model.encode_image(torch.randn(1, 3, 32, 32)).features.requires_grad


def test_full_after_decoder_trains_everything_again(model):
    adapt(model, "decoder")
    adapt(model, "full")
    assert trained_parts(model) == {"image_encoder", "prompt_encoder", "mask_decoder"}


def test_unknown_name_is_told_the_known_ones(model):
    with pytest.raises(ValueError, match="one of full, decoder, but got 'lora'"):
        adapt(model, "lora")
    assert list(ADAPT) == ["full", "decoder"]
