from __future__ import annotations

import pytest
import torch

from sam_ft.checkpoints import load_model, save_hugging_face, save_safetensors
from sam_ft.models.adapt.adapter import Adapters, ConvAdapter, add_adapters
from sam_ft.models.sam.variants import build_model, variant_of


@pytest.mark.parametrize("image_size", [64, 80])
def test_new_adapters_change_nothing(make, answer, image_size):
    """A grid of 5 cells a side is odd."""
    model = make(image_size=image_size)
    Adapters()(model)
    assert torch.equal(answer(model, image_size=image_size), answer(make(image_size=image_size), image_size=image_size))


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (1, 1), (6, 7)])
def test_an_adapter_keeps_the_size_of_its_grid(size):
    adapter = ConvAdapter(8)
    torch.nn.init.normal_(adapter.up.weight)
    x = torch.randn(2, *size, 8)
    assert adapter(x).shape == x.shape
    assert adapter(x).abs().sum(dim=-1).gt(0).any()


@torch.no_grad()
def test_an_adapter_gates_its_channels_and_looks_at_neighbours():
    """Computed step by step with torch's own layers."""
    adapter = ConvAdapter(8)
    torch.nn.init.normal_(adapter.up.weight)
    x = torch.randn(1, 5, 5, 8)
    hidden = torch.relu(adapter.gate_in.weight @ x[0].mean(dim=(0, 1)))
    gate = torch.sigmoid(adapter.gate_out.weight @ hidden)
    small = torch.relu(torch.conv2d((x * gate).permute(0, 3, 1, 2), adapter.down.weight, stride=2, padding=1))
    assert small.shape == (1, 8, 3, 3)
    large = torch.conv_transpose2d(small, adapter.up.weight, stride=2, padding=1)
    torch.testing.assert_close(adapter(x), large[:, :, :5, :5].permute(0, 2, 3, 1))


def test_adapters_of_vit_b_have_the_published_sizes():
    """In each of 12 blocks a gate of a quarter of 768 channels, 3x3 kernels down and 4x4 up (OpenGVLab/SAM-Med2D)."""
    with torch.device("meta"):
        model = build_model("vit_b", image_size=256)
        before = sum(p.numel() for p in model.parameters())
        add_adapters(model)
    added = sum(p.numel() for p in model.parameters()) - before
    assert added == 12 * (2 * 768 * 192 + 768 * 768 * (3 * 3 + 4 * 4))


def test_only_adapters_and_what_is_named_beside_them_learn(make):
    model = make()
    Adapters(beside=("mask_decoder",))(model)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {
        name for name, _ in model.named_parameters() if ".adapter." in name or name.startswith("mask_decoder.")
    }
    assert len([name for name in learning if ".adapter." in name]) == 2 * 4


def test_the_first_step_moves_an_adapter_and_the_second_all_of_it(make):
    model = make()
    Adapters()(model)
    images = torch.randn(1, 3, 64, 64)
    adapter = model.image_encoder.blocks[0].adapter
    for expected in ({"up.weight"}, {"gate_in.weight", "gate_out.weight", "down.weight", "up.weight"}):
        model.zero_grad()
        model.encode_image(images).features.square().sum().backward()
        assert {name for name, p in adapter.named_parameters() if p.grad is not None and p.grad.any()} == expected
        adapter.up.weight.data -= 0.01 * adapter.up.weight.grad


def test_weights_with_adapters_are_recognised_by_their_names(make, answer, learn, tmp_path):
    model = make()
    Adapters()(model)
    learn(model)
    save_safetensors(model, tmp_path / "a.safetensors")
    torch.save(model.state_dict(), tmp_path / "b.pth")
    for path in sorted(tmp_path.iterdir()):
        assert torch.equal(answer(load_model(path)), answer(model))
    assert (answer(model) - answer(make())).abs().max() > 0.01
    with pytest.raises(ValueError, match=r"\.adapter\."):
        save_hugging_face(model, tmp_path / "folder")


def test_adapters_that_are_there_learn_on(make, answer, learn):
    model = make()
    Adapters()(model)
    before = answer(learn(model))
    Adapters()(model)
    assert torch.equal(answer(model), before)


def test_a_model_with_adapters_keeps_the_name_of_its_size():
    model = build_model("vit_tiny", image_size=32)
    add_adapters(model)
    assert variant_of(model) == "vit_tiny"


@pytest.mark.parametrize("beside", [("image_encoder",), ("head",)])
def test_parts_that_cannot_learn_whole_are_refused(beside):
    with pytest.raises(ValueError, match="`beside`"):
        Adapters(beside=beside)
