from __future__ import annotations

import torch

from sam_ft.checkpoints import load_model, read_state_dict, save_meta, save_safetensors
from sam_ft.models.adapt.hq import HighQuality
from sam_ft.models.sam.hq import add_high_quality, is_high_quality
from sam_ft.models.sam.variants import build_model, variant_of
from sam_ft.types import Prompts


def test_what_is_added_learns_and_nothing_else(make):
    model = make()
    own = set(dict(model.named_parameters()))
    HighQuality()(model)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == set(dict(model.named_parameters())) - own
    assert {name.split(".")[1] for name in learning} == {
        "hf_token",
        "hf_mlp",
        "compress_vit_feat",
        "embedding_encoder",
        "embedding_maskfeature",
    }


def test_the_first_step_moves_the_last_layer_and_the_second_everything(make):
    model = make()
    HighQuality()(model)
    images, boxes = torch.randn(1, 3, 64, 64), torch.tensor([[[4.0, 5.0, 40.0, 48.0]]])
    everything = {name for name, p in model.named_parameters() if p.requires_grad}
    for expected in ({f"mask_decoder.hf_mlp.layers.2.{kind}" for kind in ("weight", "bias")}, everything):
        model.zero_grad()
        prediction = model.decode(model.encode_image(images), Prompts(boxes=boxes), multimask_output=False)
        moved_by_sam = {"mask_decoder.hf_token.weight"}  # SAM's own masks see it too
        prediction.low_res_logits.square().sum().backward()
        moving = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert moving == expected | moved_by_sam
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.data -= 0.01 * parameter.grad / parameter.grad.abs().max().clamp(min=1e-9)


def test_saved_weights_bring_it_back(make, answer, learn, tmp_path):
    model = make()
    HighQuality()(model)
    learn(model)
    save_safetensors(model, tmp_path / "a.safetensors")
    save_meta(model, tmp_path / "b.pth")
    for path in sorted(tmp_path.iterdir()):
        assert torch.equal(answer(load_model(path)), answer(model))
        assert any(map(is_high_quality, read_state_dict(path)))
    assert (answer(model) - answer(make())).abs().max() > 0.01


def test_what_is_there_learns_on(make, answer, learn):
    model = make()
    HighQuality()(model)
    before = answer(learn(model))
    HighQuality()(model)
    assert torch.equal(answer(model), before)


def test_the_size_keeps_its_name():
    model = build_model("vit_tiny", image_size=32)
    add_high_quality(model)
    assert variant_of(model) == "vit_tiny"
