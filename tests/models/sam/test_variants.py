from __future__ import annotations

import pytest
import torch

from sam_ft.models.sam.variants import VARIANTS, build_model
from sam_ft.types import Prompts


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    "name, num_parameters, published",
    [("vit_b", 93_735_472, "93.7"), ("vit_l", 312_342_832, "312.3"), ("vit_h", 641_090_608, "641.1")],
)
def test_published_sizes_have_the_published_number_of_parameters(name, num_parameters, published):
    with torch.device("meta"):
        model = build_model(name)
    assert count(model) == num_parameters
    assert f"{count(model) / 1e6:.1f}" == published


def test_tiny_size_has_an_encoder_of_a_few_million_parameters_and_a_narrower_decoder():
    with torch.device("meta"):
        tiny, base = build_model("vit_tiny"), build_model("vit_b")
    assert 2e6 < count(tiny.image_encoder) < 6e6
    assert count(tiny.mask_decoder) < count(base.mask_decoder) / 2


@pytest.mark.parametrize("name, width", [("vit_tiny", 128), ("vit_b", 256), ("vit_l", 256), ("vit_h", 256)])
@torch.no_grad()
def test_every_size_embeds_and_decodes_at_its_own_image_size(name, width):
    with torch.device("meta"):
        model = build_model(name)
        size = 512 if name == "vit_tiny" else 1024
        assert model.image_size == size
        embedding = model.encode_image(torch.empty(1, 3, size, size))
        prompts = Prompts(boxes=torch.empty(1, 2, 4), masks=torch.empty(1, 2, size // 4, size // 4))
        prediction = model.decode(embedding, prompts, multimask_output=None)
    assert embedding.features.shape == (1, width, size // 16, size // 16)
    assert prediction.low_res_logits.shape == (1, 2, 4, size // 4, size // 4)
    assert prediction.iou_predictions.shape == (1, 2, 4)


@pytest.mark.parametrize("image_size", [16, 80, 144, 256])
@torch.no_grad()
def test_any_multiple_of_the_patch_is_an_image_size(image_size):
    model = build_model("vit_tiny", image_size=image_size)
    embedding = model.encode_image(torch.randn(1, 3, image_size, image_size))
    prediction = model.decode(embedding, Prompts(boxes=torch.zeros(1, 1, 4)), multimask_output=True)
    assert embedding.features.shape[-2:] == (image_size // 16, image_size // 16)
    assert prediction.low_res_logits.shape == (1, 1, 3, image_size // 4, image_size // 4)
    assert prediction.low_res_logits.isfinite().all()


@pytest.mark.parametrize("image_size", [0, -16, 8, 100, 1023])
def test_other_image_sizes_are_refused(image_size):
    with pytest.raises(ValueError, match=f"multiple of 16, but got {image_size}"):
        build_model("vit_tiny", image_size=image_size)


def test_unknown_name_is_told_the_known_ones():
    with pytest.raises(ValueError, match="one of vit_tiny, vit_b, vit_l, vit_h, but got 'vit_x'"):
        build_model("vit_x")


def test_registry_holds_the_published_sizes_and_ours():
    assert list(VARIANTS) == ["vit_tiny", "vit_b", "vit_l", "vit_h"]


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build_model("vit_tiny", image_size=16).state_dict()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["image_encoder.pos_embed"], other["image_encoder.pos_embed"])
