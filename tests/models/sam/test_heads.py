"""Heads beside SAM: added, saved and found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sam_ft.checkpoints import load_model, read_state_dict, save_hugging_face, save_meta, save_safetensors
from sam_ft.models.adapt.hq import HighQuality
from sam_ft.models.sam.heads import add_class_head, add_semantic_head, unpacked_heads
from sam_ft.models.sam.hq import add_high_quality, is_high_quality
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model, sam, variant_of
from sam_ft.types import MaskPrediction, Prompts

NAMES = ("cell", "nucleus", "other")


def small_sam() -> Sam:
    torch.manual_seed(0)
    return sam(
        image_size=64,
        encoder_width=24,
        encoder_depth=2,
        encoder_heads=2,
        global_attention_blocks=(1,),
        window_size=2,
        decoder_width=32,
    ).eval()


@torch.no_grad()
def ask(model: Sam, *, multimask_output: bool | None = None) -> MaskPrediction:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[4.0, 5.0, 40.0, 48.0], [20.0, 0.0, 60.0, 30.0]]).expand(2, 2, 4)
    return model.decode(model.encode_image(images), Prompts(boxes=boxes), multimask_output=multimask_output)


def test_a_class_head_changes_no_mask_and_answers_for_each() -> None:
    plain, model = small_sam(), small_sam()
    add_class_head(model, NAMES)
    before, after = ask(plain), ask(model)
    assert before.class_logits is None and before.class_names == ()
    assert torch.equal(after.low_res_logits, before.low_res_logits)
    assert torch.equal(after.iou_predictions, before.iou_predictions)
    assert after.class_logits is not None and after.class_logits.shape == (2, 2, 4, 3)
    assert after.class_names == model.class_names == NAMES


def test_the_class_is_told_by_the_token_that_made_the_mask() -> None:
    model = small_sam()
    add_class_head(model, NAMES)
    everything = ask(model)
    for choice, tokens in ((False, slice(0, 1)), (True, slice(1, 4))):
        torch.testing.assert_close(
            ask(model, multimask_output=choice).class_logits, everything.class_logits[:, :, tokens]
        )
    chosen = everything.most_confident()
    best = everything.iou_predictions.argmax(dim=-1)
    for b, n in torch.cartesian_prod(torch.arange(2), torch.arange(2)).tolist():
        assert torch.equal(chosen.class_logits[b, n, 0], everything.class_logits[b, n, best[b, n]])


def test_a_head_for_the_same_classes_stays_and_one_for_others_is_new() -> None:
    model = small_sam()
    add_class_head(model, NAMES)
    head = model.mask_decoder.class_head
    model.requires_grad_(False)
    add_class_head(model, NAMES)
    assert model.mask_decoder.class_head is head
    assert all(parameter.requires_grad for parameter in head.parameters())
    add_class_head(model, NAMES[::-1])
    assert model.class_names == NAMES[::-1]
    assert model.mask_decoder.class_head is not head


def test_our_files_bring_the_head_and_its_names_back(tmp_path: Path) -> None:
    model = small_sam()
    add_class_head(model, NAMES)
    save_safetensors(model, tmp_path / "a.safetensors")
    lightning = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": lightning}, tmp_path / "a.ckpt")
    for path in sorted(tmp_path.iterdir()):
        loaded = load_model(path)
        assert loaded.class_names == NAMES
        assert torch.equal(ask(loaded).class_logits, ask(model).class_logits)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "folder/model.safetensors"])
def test_the_tensors_of_every_file_are_those_of_sam_alone(tmp_path: Path, name: str) -> None:
    """segment_anything and transformers load strictly by name."""
    model, plain = small_sam(), small_sam()
    add_class_head(model, NAMES)
    if name.endswith(".pth"):
        save_meta(model, tmp_path / name)
        saved = torch.load(tmp_path / name, weights_only=True)
    else:
        save_hugging_face(plain, tmp_path / "expected")
        save: Callable[..., None] = save_safetensors if name == "a.safetensors" else save_hugging_face
        save(model, tmp_path / name if name == "a.safetensors" else tmp_path / "folder")
        saved = load_file(tmp_path / name)
    expected = load_file(tmp_path / "expected/model.safetensors") if "folder" in name else plain.state_dict()
    assert saved.keys() == expected.keys()
    assert load_model(tmp_path / Path(name).parts[0]).image_size == 64


def test_a_head_that_is_damaged_is_refused_by_the_path(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for text in ("no base64!", "AAAA"):
        save_file(small_sam().state_dict(), tmp_path / "a.safetensors", metadata={"sam_ft_heads": text})
        with pytest.raises(ValueError, match=r"a\.safetensors .*heads"):
            read_state_dict(tmp_path / "a.safetensors")
    assert unpacked_heads({}) == {}


@torch.no_grad()
def classify(model: Sam) -> Tensor:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return model.classify_pixels(model.encode_image(images))


def test_a_semantic_head_of_sams_own_tokens_gives_every_class_the_map_of_token_0() -> None:
    """All mask tokens of the plain decoder are token 0 as well, and it gets no prompt either."""
    model = small_sam()
    own = model.mask_decoder.mask_tokens.weight
    own.data[:] = own.data[:1].clone()
    add_semantic_head(model, ["a", "b", "c"])
    tokens = model.mask_decoder.semantic_head.class_tokens.weight
    assert (tokens[:, None] - tokens).square().sum(dim=-1).fill_diagonal_(1).min() > 0.1  # they differ from the start
    tokens.data[:] = own.data
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features, encoder = model.encode_image(images).features, model.prompt_encoder
        plain = model.mask_decoder(features, encoder.image_pe(), encoder.without_prompts(2), multimask_output=False)
    logits = classify(model)
    assert logits.shape == (2, 4, 16, 16)
    torch.testing.assert_close(logits, plain.low_res_logits.expand(-1, 4, -1, -1, -1)[:, :, 0])


def test_no_prompt_is_sams_dense_embedding_and_no_token() -> None:
    encoder = small_sam().prompt_encoder
    nothing = encoder.without_prompts(3)
    assert nothing.sparse.shape == (3, 1, 0, 32) and nothing.present.shape == (3, 1, 0)
    assert torch.equal(nothing.dense.whole(), encoder(Prompts(boxes=torch.zeros(1, 1, 4))).dense.whole())


def test_a_batch_is_classified_as_its_images_one_by_one() -> None:
    model = small_sam()
    add_semantic_head(model, NAMES)
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        together = model.classify_pixels(model.encode_image(images))
        each = torch.cat([model.classify_pixels(model.encode_image(image[None])) for image in images])
    torch.testing.assert_close(together, each, atol=1e-5, rtol=1e-5)


def test_the_background_is_the_first_class_whether_named_or_not() -> None:
    for names in (["a", "b"], ["a", "background", "b"]):
        model = small_sam()
        add_semantic_head(model, names)
        assert model.pixel_class_names == ("background", "a", "b")


def test_a_semantic_head_learns_with_all_that_it_uses_and_nothing_else() -> None:
    model = small_sam()
    model.requires_grad_(True)
    add_semantic_head(model, NAMES)
    model.classify_pixels(model.encode_image(torch.rand(1, 3, 64, 64))).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
    assert model.mask_decoder.semantic_head.class_tokens.weight.grad.any()


def test_a_semantic_head_comes_back_from_our_files(tmp_path: Path) -> None:
    model = small_sam()
    add_semantic_head(model, NAMES)
    save_safetensors(model, tmp_path / "a.safetensors")
    assert load_file(tmp_path / "a.safetensors").keys() == small_sam().state_dict().keys()
    loaded = load_model(tmp_path / "a.safetensors")
    assert loaded.pixel_class_names == ("background", *NAMES)
    assert torch.equal(classify(loaded), classify(model))
    with pytest.raises(ValueError, match="semantic head"):
        classify(small_sam())


def test_a_model_with_a_head_keeps_the_name_of_its_size_and_its_precision() -> None:
    model = build_model("vit_tiny", image_size=32).half()
    add_class_head(model, NAMES)
    assert variant_of(model) == "vit_tiny"
    assert {parameter.dtype for parameter in model.mask_decoder.parameters()} == {torch.float16}


def test_heads_and_the_high_quality_decoder_go_together_in_either_order(tmp_path: Path) -> None:
    for steps in ((add_class_head, add_semantic_head, None), (None, add_class_head, add_semantic_head)):
        model = small_sam()
        for add in steps:
            add(model, NAMES) if add else add_high_quality(model)
        answer = ask(model)
        assert answer.class_logits is not None and answer.class_logits.shape == (2, 2, 4, 3)
        assert model.pixel_class_names == ("background", *NAMES)
        save_safetensors(model, tmp_path / "a.safetensors")
        assert any(map(is_high_quality, load_file(tmp_path / "a.safetensors")))
        loaded = load_model(tmp_path / "a.safetensors")
        assert loaded.class_names == NAMES
        assert torch.equal(ask(loaded).class_logits, answer.class_logits)
        assert torch.equal(ask(loaded).low_res_logits, answer.low_res_logits)
        assert torch.equal(classify(loaded), classify(model))


def test_a_semantic_head_does_not_teach_the_high_quality_decoder() -> None:
    model = small_sam()
    add_high_quality(model)
    model.requires_grad_(True)
    add_semantic_head(model, NAMES)
    assert not any(p.requires_grad for name, p in model.named_parameters() if is_high_quality(name))
    HighQuality()(model)
    with pytest.raises(ValueError, match="`adapt` other than hq"):
        add_semantic_head(model, NAMES)


def test_a_class_head_learns_beside_the_high_quality_decoder() -> None:
    model = small_sam()
    HighQuality()(model)
    add_class_head(model, NAMES)
    learning = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert "class_head" in learning and "hf_token" in learning and "mask_tokens" not in learning
