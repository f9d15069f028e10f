from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from sam_ft.checkpoints import load_model, read_state_dict, save_meta, save_safetensors
from sam_ft.models.adapt.lora import Lora, has_lora, merge, merged_weights, save_adapter

KINDS = pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])


@KINDS
def test_updates_change_nothing_before_they_have_learnt(make, answer, dora):
    model = make()
    Lora(rank=2, dora=dora)(model)
    torch.testing.assert_close(answer(model), answer(make()), atol=1e-6, rtol=0)


@KINDS
def test_only_updates_and_what_is_named_beside_them_learn(make, dora):
    model = make()
    Lora(rank=2, dora=dora, beside=("prompt_encoder",))(model)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    in_encoder = {name for name in learning if name.startswith("image_encoder.")}
    assert all(".lora_" in name for name in in_encoder)
    assert {name.partition(".lora_")[0] for name in in_encoder} == {
        f"image_encoder.blocks.{block}.attn.{layer}" for block in (0, 1) for layer in ("qkv", "proj")
    }
    assert learning - in_encoder == {name for name, _ in model.named_parameters() if name.startswith("prompt_encoder.")}
    assert any("magnitude" in name for name in in_encoder) == dora


@pytest.mark.parametrize("layers", [(r"mlp\.lin\d",), (r"blocks\.1\.mlp\.lin1", "attn.proj")])
def test_layers_are_chosen_by_the_ends_of_their_names(make, layers):
    model = make()
    Lora(rank=2, layers=layers)(model)
    updated = {name.partition(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name}
    expected = {
        (r"mlp\.lin\d",): {f"blocks.{block}.mlp.lin{layer}" for block in (0, 1) for layer in (1, 2)},
        (r"blocks\.1\.mlp\.lin1", "attn.proj"): {"blocks.1.mlp.lin1", "blocks.0.attn.proj", "blocks.1.attn.proj"},
    }[layers]
    assert updated == {f"image_encoder.{name}" for name in expected}


@KINDS
def test_peft_loads_the_files_by_itself_and_answers_alike(make, answer, learn, tmp_path, dora):
    from peft import PeftModel

    model = make()
    Lora(rank=3, alpha=4.0, dora=dora, beside=("prompt_encoder", "mask_decoder"))(model)
    learn(model)
    save_adapter(model, tmp_path / "adapter")
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    loaded = PeftModel.from_pretrained(make(), tmp_path / "adapter").eval()
    torch.testing.assert_close(answer(loaded), answer(model), atol=1e-6, rtol=0)
    assert (answer(loaded) - answer(make())).abs().max() > 0.1
    names = load_file(tmp_path / "adapter" / "adapter_model.safetensors").keys()
    assert not any(name.startswith("base_model.model.image_encoder.") and ".lora_" not in name for name in names)


def test_the_files_name_the_parts_that_learnt_whole(make, tmp_path):
    model = make()
    Lora(rank=2, beside=())(model)
    save_adapter(model, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["modules_to_save"] is None
    assert all(".lora_" in name for name in load_file(tmp_path / "adapter_model.safetensors"))


@KINDS
def test_merged_weights_give_the_same_output(make, answer, learn, dora):
    model = make()
    Lora(rank=3, alpha=5.0, dora=dora)(model)
    before = answer(learn(model))
    merged = merge(model)
    assert merged is model and not has_lora(model)
    assert model.state_dict().keys() == make().state_dict().keys()
    assert [name for name, _ in model.named_modules()] == [name for name, _ in make().named_modules()]
    torch.testing.assert_close(answer(model), before, atol=1e-5, rtol=0)
    assert (before - answer(make())).abs().max() > 0.1


@KINDS
def test_merging_equals_that_of_peft(make, learn, dora):
    model = make()
    Lora(rank=3, alpha=5.0, dora=dora)(model)
    weights = merged_weights(learn(model).state_dict())
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            module.merge()
            torch.testing.assert_close(weights[f"{name}.weight"], module.base_layer.weight, atol=1e-6, rtol=1e-5)


def test_a_low_rank_update_is_what_the_paper_says():
    weights = {
        "image_encoder.update_scaling": torch.tensor(2.0),
        "image_encoder.x.base_layer.weight": torch.tensor([[3.0, 0.0], [0.0, 1.0]]),
        "image_encoder.x.base_layer.bias": torch.tensor([7.0, 8.0]),
        "image_encoder.x.lora_A.default.weight": torch.tensor([[0.0, 1.0]]),
        "image_encoder.x.lora_B.default.weight": torch.tensor([[2.0], [0.0]]),
    }
    merged = merged_weights(weights)
    assert merged.keys() == {"image_encoder.x.weight", "image_encoder.x.bias"}
    assert merged["image_encoder.x.weight"].tolist() == [[3.0, 4.0], [0.0, 1.0]]
    weights["image_encoder.x.lora_magnitude_vector.default.weight"] = torch.tensor([10.0, 3.0])
    assert merged_weights(weights)["image_encoder.x.weight"].tolist() == [[6.0, 8.0], [0.0, 3.0]]
    del weights["image_encoder.update_scaling"]
    with pytest.raises(ValueError, match="update_scaling"):
        merged_weights(weights)


@KINDS
def test_every_file_of_weights_is_of_the_plain_model(make, answer, learn, tmp_path, dora):
    model = make()
    Lora(rank=2, dora=dora)(model)
    before = answer(learn(model))
    save_safetensors(model, tmp_path / "a.safetensors")
    save_meta(model, tmp_path / "b.pth")
    torch.save({"state_dict": {f"model.{name}": t for name, t in model.state_dict().items()}}, tmp_path / "c.ckpt")
    for path in tmp_path.iterdir():
        torch.testing.assert_close(answer(load_model(path)), before, atol=1e-5, rtol=0)
    assert load_file(tmp_path / "a.safetensors").keys() == make().state_dict().keys()
    raw = read_state_dict(tmp_path / "c.ckpt", merge_lora=False)
    assert raw.keys() == model.state_dict().keys()
    assert has_lora(model)  # saving has not changed it


def test_a_model_without_lora_is_left_alone_and_has_no_adapter_to_save(make, tmp_path):
    model = make()
    weights = dict(model.state_dict())
    assert merge(model) is model
    assert all(tensor is weights[name] for name, tensor in merged_weights(weights).items())
    with pytest.raises(ValueError, match="has none"):
        save_adapter(model, tmp_path)


def test_lora_is_not_added_twice(make):
    model = make()
    Lora(rank=2)(model)
    with pytest.raises(ValueError, match="without LoRA"):
        Lora(rank=2)(model)
    Lora(rank=3)(merge(model))
    assert has_lora(model)


def test_layers_outside_the_image_encoder_are_refused(make):
    """The mask decoder uses its weights in other ways than its layers' own, which would pass updates by."""
    with pytest.raises(ValueError, match=r"such as image_encoder\.blocks\.0\.attn\.qkv, but got"):
        Lora(layers=(r"mask_decoder\..*\.q_proj",))(make())


@pytest.mark.parametrize(
    "wrong",
    [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"beside": ("image_encoder",)}, {"beside": ("head",)}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Lora(**wrong)
