from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sam_ft.checkpoints import (
    load_model,
    load_weights,
    read_state_dict,
    save_hugging_face,
    save_meta,
    save_safetensors,
)
from sam_ft.data.collation import whole_batches
from sam_ft.data.phantoms import Phantoms
from sam_ft.evaluation.asking.interactive import evaluate_clicks
from sam_ft.evaluation.records.summaries import summarise
from sam_ft.models.sam.drawn_prompts import draw_prompts
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model, sam
from sam_ft.models.sam.weights import hugging_face_from_meta
from sam_ft.types import Prompts


def small_sam(*, image_size: int = 256, seed: int = 0) -> Sam:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = sam(
            image_size=image_size,
            encoder_width=32,
            encoder_depth=3,
            encoder_heads=2,
            global_attention_blocks=(1,),
            window_size=5,
            decoder_width=64,
        )
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Sam:
    return small_sam()


@pytest.fixture(scope="module")
def weights(model) -> dict[str, Tensor]:
    return model.state_dict()


def assert_same_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def prefixed(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in weights.items()}


# What is written is read back


@pytest.mark.parametrize("name", ["sam.pth", "sam.safetensors", "folder"])
def test_a_saved_model_is_loaded_bit_by_bit(model, weights, tmp_path, name):
    save = {"sam.pth": save_meta, "sam.safetensors": save_safetensors, "folder": save_hugging_face}[name]
    save(model, tmp_path / name)
    loaded = load_model(tmp_path / name)
    assert loaded.image_size == 256
    assert not loaded.training
    assert_same_weights(loaded.state_dict(), weights)


def test_loading_a_model_draws_no_random_numbers(model, tmp_path):
    save_meta(model, tmp_path / "sam.pth")
    before = torch.get_rng_state()
    load_model(tmp_path / "sam.pth")
    assert torch.equal(torch.get_rng_state(), before)


def test_meta_file_is_a_plain_state_dict(model, weights, tmp_path):
    save_meta(model, tmp_path / "sam.pth")
    assert_same_weights(torch.load(tmp_path / "sam.pth", weights_only=True), weights)


def test_safetensors_file_says_whose_names_it_has(model, tmp_path):
    save_safetensors(model, tmp_path / "sam.safetensors")
    with safe_open(tmp_path / "sam.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "names": "segment_anything", "image_size": "256"}


def test_nothing_is_left_beside_the_written_file(model, tmp_path):
    save_meta(model, tmp_path / "new" / "sam.pth")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sam.pth"]


def test_meta_file_is_not_written_of_what_other_tools_would_answer_differently_with(tmp_path):
    model = small_sam()
    draw_prompts(model)
    with pytest.raises(ValueError, match=r"SAM's names alone.*prompt_encoder\.drawn_logits"):
        save_meta(model, tmp_path / "sam.pth")
    assert list(tmp_path.iterdir()) == []


def test_hugging_face_refuses_weights_beyond_sam(tmp_path):
    extended = small_sam()
    extended.image_encoder.register_parameter("lora_a", torch.nn.Parameter(torch.zeros(2)))
    with pytest.raises(ValueError, match=r"SAM's names alone.*image_encoder\.lora_a"):
        save_hugging_face(extended, tmp_path / "folder")


# Files of others


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "_forward_module.model.", "sam_model."])
def test_prefixes_of_wrappers_are_taken_off(weights, tmp_path, prefix):
    torch.save(prefixed(weights, prefix), tmp_path / "sam.pth")
    assert_same_weights(read_state_dict(tmp_path / "sam.pth"), weights)


def test_names_of_compiled_parts_are_understood(weights, tmp_path):
    compiled = {name.replace("image_encoder.", "image_encoder._orig_mod."): value for name, value in weights.items()}
    torch.save(prefixed(compiled, "_orig_mod."), tmp_path / "sam.pth")
    assert_same_weights(read_state_dict(tmp_path / "sam.pth"), weights)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_medsam_training_checkpoint_is_read(weights, tmp_path, prefix):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))]).state_dict()
    torch.save({"model": prefixed(weights, prefix), "optimizer": optimizer, "epoch": 3}, tmp_path / "medsam.pth")
    assert_same_weights(read_state_dict(tmp_path / "medsam.pth"), weights)


def test_lightning_checkpoint_is_read_without_what_is_no_part_of_the_sam(weights, tmp_path):
    state_dict = {**prefixed(weights, "model."), "loss.weight": torch.ones(2)}
    checkpoint = {"epoch": 1, "pytorch-lightning_version": "2.6", "state_dict": state_dict, "loops": {}}
    torch.save(checkpoint, tmp_path / "last.ckpt")
    assert_same_weights(read_state_dict(tmp_path / "last.ckpt"), weights)


def test_safetensors_with_hugging_face_names_are_read(weights, tmp_path):
    save_file(hugging_face_from_meta(weights), tmp_path / "model.safetensors")
    assert_same_weights(read_state_dict(tmp_path / "model.safetensors"), weights)
    assert_same_weights(read_state_dict(tmp_path), weights)


@pytest.mark.parametrize("copy", ["shared_image_embedding", "prompt_encoder.shared_embedding"])
def test_one_of_hugging_faces_two_tied_frequencies_is_enough(weights, tmp_path, copy):
    renamed = hugging_face_from_meta(weights)
    del renamed[f"{copy}.positional_embedding"]
    save_file(renamed, tmp_path / "model.safetensors")
    assert_same_weights(read_state_dict(tmp_path / "model.safetensors"), weights)


def test_of_several_sams_in_one_file_one_must_be_chosen(weights, tmp_path):
    average = {name: tensor + 1 for name, tensor in weights.items()}
    torch.save({**prefixed(weights, "model."), **prefixed(average, "ema.")}, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=r"sam\.pth.*several.*'ema\.', 'model\.'"):
        read_state_dict(tmp_path / "sam.pth")
    assert_same_weights(read_state_dict(tmp_path / "sam.pth", prefix="ema."), average)
    with pytest.raises(ValueError, match=r"`prefix` to be one of.*but got 'teacher\.'"):
        read_state_dict(tmp_path / "sam.pth", prefix="teacher.")


# Files that cannot be read


def write_truncated_pth(path: Path, weights: Mapping[str, Tensor]) -> None:
    torch.save(dict(weights), path)
    path.write_bytes(path.read_bytes()[:-5000])


def write_truncated_safetensors(path: Path, weights: Mapping[str, Tensor]) -> None:
    save_file(dict(weights), path)
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("cut.pth", write_truncated_pth, "truncated"),
        ("cut.safetensors", write_truncated_safetensors, "truncated"),
        ("picture.pth", lambda path, _: path.write_bytes(b"\x89PNG\r\n" + bytes(100)), "another kind of file"),
        ("empty.pth", lambda path, _: path.write_bytes(b""), "another kind of file"),
        ("pickle.pth", lambda path, _: path.write_bytes(b"\x80\x02" + bytes(20)), "truncated or foreign"),
        ("zip.pth", lambda path, _: path.write_bytes(b"PK\x03\x04" + bytes(20)), "truncated or foreign"),
        ("text.safetensors", lambda path, _: path.write_text("hello"), "truncated or foreign"),
        ("tensor.pth", lambda path, _: torch.save(torch.ones(3), path), "state dict.*got Tensor"),
        ("other.pth", lambda path, _: torch.save({"conv1.weight": torch.ones(3)}, path), r"names are conv1\.weight"),
        ("nothing.pth", lambda path, _: torch.save({}, path), "names are none"),
        (
            "module.pth",
            lambda path, _: torch.save(torch.nn.Linear(2, 2), path),
            "also holds a torch.nn.modules.linear.Linear",
        ),
    ],
)
def test_unreadable_file_is_named_with_the_reason(weights, tmp_path, name, write, reason):
    write(tmp_path / name, weights)
    with pytest.raises(ValueError, match=reason) as caught:
        read_state_dict(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_any_damage_is_a_value_error_that_names_the_file(tmp_path, zipped):
    path, generator = tmp_path / "damaged.pth", torch.Generator().manual_seed(0)
    torch.save({"image_encoder.pos_embed": torch.ones(4)}, path, _use_new_zipfile_serialization=zipped)
    whole, messages = path.read_bytes(), []
    for _ in range(150):
        damaged = bytearray(whole)
        for position in torch.randint(2, len(whole), (4,), generator=generator).tolist():
            damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_state_dict(path)
        except ValueError as err:
            messages.append(str(err))
    assert len(messages) > 30
    assert all(str(path) in message for message in messages)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.pth, but nothing is there"):
        load_model(tmp_path / "absent.pth")


def test_deepspeed_folder_is_refused_with_the_way_to_convert_it(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "latest").write_text("checkpoint")
    with pytest.raises(ValueError, match=r"DeepSpeed.*python -m deepspeed\.utils\.zero_to_fp32"):
        read_state_dict(tmp_path)


def test_folder_of_another_model_is_refused(model, tmp_path):
    save_hugging_face(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "sam2"}))
    with pytest.raises(ValueError, match='"sam" or "sam_hq".*"sam2"'):
        read_state_dict(tmp_path)
    config["mask_decoder_config"]["num_attention_heads"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="2 heads.*got 4"):
        read_state_dict(tmp_path)


def test_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"model\.safetensors, but .* has none"):
        read_state_dict(tmp_path)


# Loading into a model


def test_full_coverage_is_reported(model, weights):
    report = load_weights(small_sam(seed=1), weights)
    assert report.complete
    assert report.share == 1.0
    assert str(report) == f"Loaded {len(weights)} of {len(weights)} tensors (100.0 % of the model)."


def test_partial_coverage_is_refused_unless_asked_for(model, weights):
    fewer = {name: tensor for name, tensor in weights.items() if not name.startswith("prompt_encoder.point_emb")}
    fewer["image_encoder.adapter.weight"] = torch.zeros(2)
    target = small_sam(seed=1)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(ValueError, match=r"partial=True.*Missing in the checkpoint \(4\)"):
        load_weights(target, fewer)
    assert_same_weights(target.state_dict(), before)
    report = load_weights(target, fewer, partial=True)
    assert report.missing == tuple(f"prompt_encoder.point_embeddings.{i}.weight" for i in range(4))
    assert report.unexpected == ("image_encoder.adapter.weight",)
    assert torch.equal(target.state_dict()["image_encoder.pos_embed"], weights["image_encoder.pos_embed"])
    assert "Unknown to the model (1): image_encoder.adapter.weight." in str(report)
    assert "100.0 %" not in str(report)
    numbers = sum(tensor.numel() for tensor in weights.values())
    assert report.share == pytest.approx(1 - 4 * 64 / numbers)


def test_weights_that_match_nothing_are_refused_with_both_sides_names(model):
    with pytest.raises(ValueError, match=r"image_encoder\.pos_embed.*the checkpoint has backbone\.0\.weight: nothing"):
        load_weights(model, {"backbone.0.weight": torch.ones(2)}, partial=True)


def test_weights_of_another_shape_are_refused_by_name(model, weights):
    target = small_sam(seed=1)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    wrong = {**weights, "mask_decoder.iou_token.weight": torch.zeros(1, 7)}
    with pytest.raises(ValueError, match=r"mask_decoder\.iou_token\.weight \(1, 7\) where the model has \(1, 64\)"):
        load_weights(target, wrong, partial=True)
    assert_same_weights(target.state_dict(), before)


def test_checkpoint_without_a_vit_encoder_is_refused_by_path_and_name(weights, tmp_path):
    decoder = {name: tensor for name, tensor in weights.items() if name.startswith("mask_decoder.")}
    torch.save(decoder, tmp_path / "decoder.pth")
    with pytest.raises(ValueError, match=r"decoder\.pth: .*`image_encoder\.pos_embed` is missing"):
        load_model(tmp_path / "decoder.pth")


# Another image size


@torch.no_grad()
def test_checkpoint_of_256_runs_at_512(model, weights, tmp_path):
    save_meta(model, tmp_path / "sam.pth")
    larger = load_model(tmp_path / "sam.pth", image_size=512)
    resized = larger.state_dict()
    assert resized["image_encoder.pos_embed"].shape == (1, 32, 32, 32)
    assert resized["image_encoder.blocks.1.attn.rel_pos_h"].shape == (63, 16)
    windowed = "image_encoder.blocks.0.attn.rel_pos_h"
    assert torch.equal(resized[windowed], weights[windowed])
    prediction = larger.decode(
        larger.encode_image(torch.randn(1, 3, 512, 512)),
        Prompts(boxes=torch.tensor([[[10.0, 20.0, 300.0, 400.0]]])),
        multimask_output=True,
    )
    assert prediction.low_res_logits.shape == (1, 1, 3, 128, 128)
    assert prediction.low_res_logits.isfinite().all()


def test_image_size_that_patches_do_not_divide_is_refused(model, tmp_path):
    save_meta(model, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=r"sam\.pth: .*multiple of the patch size 16, but got 250"):
        load_model(tmp_path / "sam.pth", image_size=250)


def test_the_weights_that_come_with_the_package_load_by_name_and_know_phantoms_never_seen() -> None:
    shipped = load_model("vit_tiny_phantoms", image_size=128)
    assert all(parameter.dtype == torch.float32 for parameter in shipped.parameters())
    torch.manual_seed(0)
    scores = []
    for model in (build_model("vit_tiny", image_size=128), shipped):
        batches = whole_batches(Phantoms(6, image_size=128, seed=77), image_size=128, batch_size=3)
        scores.append(summarise(evaluate_clicks(model, batches, clicks=(), with_box=True))["miou@box"])
    untrained, trained = scores
    assert trained > untrained + 0.2
