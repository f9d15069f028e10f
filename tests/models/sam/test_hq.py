from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sam_ft.checkpoints import load_model
from sam_ft.data.collation import Prepare, collate
from sam_ft.data.phantoms import Phantoms
from sam_ft.masks.boxes import boxes_of_masks
from sam_ft.models.sam.hq import HqMaskDecoder, add_high_quality, is_high_quality
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model, sam
from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts

SIZE, NUM_IMAGES, NUM_OBJECTS = 80, 2, 3


@pytest.fixture
def model(redraw) -> Sam:
    model = build_model("vit_tiny", image_size=SIZE)
    add_high_quality(model)
    return redraw(model).double().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(NUM_IMAGES, 3, SIZE, SIZE, dtype=torch.float64)


@pytest.fixture
def prompts() -> Prompts:
    return Prompts(
        points=torch.rand(NUM_IMAGES, NUM_OBJECTS, 2, 2, dtype=torch.float64) * SIZE,
        labels=torch.tensor([1, 0]).expand(NUM_IMAGES, NUM_OBJECTS, 2),
    )


def assert_close(actual: MaskPrediction, expected: MaskPrediction) -> None:
    torch.testing.assert_close(actual.low_res_logits, expected.low_res_logits, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(actual.iou_predictions, expected.iou_predictions, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_a_batch_of_images_and_objects_equals_the_loop_over_them(model, images, prompts):
    together = model.decode(model.encode_image(images), prompts, multimask_output=None)
    assert together.low_res_logits.shape == (NUM_IMAGES, NUM_OBJECTS, 4, SIZE // 4, SIZE // 4)
    for b in range(NUM_IMAGES):
        embedding = model.encode_image(images[b : b + 1])
        for n in range(NUM_OBJECTS):
            one = Prompts(points=prompts.points[b : b + 1, n : n + 1], labels=prompts.labels[b : b + 1, n : n + 1])
            expected = MaskPrediction(
                low_res_logits=together.low_res_logits[b : b + 1, n : n + 1],
                iou_predictions=together.iou_predictions[b : b + 1, n : n + 1],
            )
            assert_close(model.decode(embedding, one, multimask_output=None), expected)


@torch.no_grad()
def test_the_same_mask_is_added_to_each_of_sams(model, images, prompts):
    embedding = model.encode_image(images)
    everything = model.decode(embedding, prompts, multimask_output=None)
    last = model.mask_decoder.hf_mlp.layers[-1]
    last.weight.zero_(), last.bias.zero_()
    without = model.decode(embedding, prompts, multimask_output=None)
    added = everything.low_res_logits - without.low_res_logits
    assert added.abs().mean() > 0.01
    torch.testing.assert_close(added, added[:, :, :1].expand_as(added), atol=1e-9, rtol=1e-9)
    assert torch.equal(everything.iou_predictions, without.iou_predictions)


@torch.no_grad()
def test_single_mask_is_token_0_and_the_three_are_tokens_1_to_3(model, images, prompts):
    embedding = model.encode_image(images)
    everything = model.decode(embedding, prompts, multimask_output=None)
    for choice, tokens in ((False, slice(0, 1)), (True, slice(1, 4))):
        chosen = model.decode(embedding, prompts, multimask_output=choice)
        torch.testing.assert_close(chosen.low_res_logits, everything.low_res_logits[:, :, tokens])


@torch.no_grad()
def test_early_features_are_what_the_first_global_block_puts_out(model, images):
    seen = []
    model.image_encoder.blocks[2].register_forward_hook(lambda *call: seen.append(call[-1]))
    embedding = model.encode_image(images)
    assert model.image_encoder.first_global_block() == 2
    assert torch.equal(embedding.high_resolution[0], seen[0].permute(0, 3, 1, 2))
    torch.testing.assert_close(embedding.features, model.image_encoder(images))


@torch.no_grad()
def test_every_source_of_detail_counts(model, images, prompts):
    embedding = model.encode_image(images)
    before = model.decode(embedding, prompts, multimask_output=False).low_res_logits
    other = ImageEmbedding(embedding.features, (torch.randn_like(embedding.high_resolution[0]),))
    assert (model.decode(other, prompts, multimask_output=False).low_res_logits - before).abs().mean() > 0.01
    for part in ("embedding_encoder", "embedding_maskfeature", "compress_vit_feat"):
        weight = getattr(model.mask_decoder, part)[3].weight
        kept = weight.clone()
        weight.zero_()
        assert (model.decode(embedding, prompts, multimask_output=False).low_res_logits - before).abs().mean() > 0.01
        weight.copy_(kept)


def test_a_plain_sam_hands_over_no_early_features():
    model = build_model("vit_tiny", image_size=32)
    embedding = model.encode_image(torch.randn(1, 3, 32, 32))
    assert embedding.high_resolution == ()
    add_high_quality(model)
    assert len(model.encode_image(torch.randn(1, 3, 32, 32)).high_resolution) == 1
    with pytest.raises(ValueError, match="encode the image with the model that decodes it"):
        model.decode(embedding, Prompts(boxes=torch.tensor([[[1.0, 2.0, 20.0, 21.0]]])), multimask_output=False)


@torch.no_grad()
def test_before_training_the_masks_are_almost_sams_own():
    """Of a trained SAM: a token of zeros takes a small share of the attention, so that they are not exactly so."""
    model = load_model("vit_tiny_phantoms")
    batch = collate([Prepare(model.image_size)(sample) for sample in Phantoms(4, image_size=160, seed=3)])
    prompts = Prompts(boxes=boxes_of_masks(batch.masks).float(), has_box=batch.valid)

    def masks() -> Tensor:
        embedding = model.encode_image(batch.images)
        return (model.decode(embedding, prompts, multimask_output=False).low_res_logits > 0)[batch.valid]

    before = masks()
    add_high_quality(model)
    after = masks()
    common, either = (before & after).flatten(1).sum(dim=1), (before | after).flatten(1).sum(dim=1)
    assert (common / either.clamp(min=1)).mean() > 0.95


def test_it_takes_over_the_layers_and_is_added_once():
    model = build_model("vit_tiny", image_size=32)
    before = model.state_dict()
    add_high_quality(model)
    decoder = model.mask_decoder
    assert isinstance(decoder, HqMaskDecoder)
    after = model.state_dict()
    assert {name for name in after if name not in before} == {name for name in after if is_high_quality(name)}
    assert all(after[name].data_ptr() == tensor.data_ptr() for name, tensor in before.items())
    add_high_quality(model)
    assert model.mask_decoder is decoder


def test_it_has_the_type_and_the_mode_of_the_model():
    model = build_model("vit_tiny", image_size=32).double().eval()
    add_high_quality(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert not any(module.training for module in model.modules())


def test_an_encoder_of_windows_alone_is_refused():
    model = sam(
        image_size=32, encoder_width=16, encoder_depth=2, encoder_heads=2, global_attention_blocks=(), window_size=2
    )
    with pytest.raises(ValueError, match="a block of global attention"):
        add_high_quality(model)
