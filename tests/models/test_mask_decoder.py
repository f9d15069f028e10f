from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sam_ft.models.mask_decoder import NUM_MASK_TOKENS, MaskDecoder, in_place
from sam_ft.models.prompt_encoder import DensePrompt, PromptEmbedding

B, N, T, C, GRID = 2, 3, 2, 32, 5


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture
def decoder(redraw) -> MaskDecoder:
    return redraw(MaskDecoder(width=C, mlp_width=48, iou_head_width=24)).requires_grad_(False).double()


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor, PromptEmbedding]:
    prompts = PromptEmbedding(
        sparse=draw(B, N, T, C),
        present=torch.ones(B, N, T, dtype=torch.bool),
        dense=DensePrompt(small=None, lift=draw(4, C), offset=draw(1, 1, 1, C)),
    )
    return draw(B, C, GRID, GRID), draw(C, GRID, GRID), prompts


def test_upscaling_equals_the_transposed_convolutions_of_the_same_weights(decoder):
    height, width = 3, 5
    image = draw(B, N, height * width, C)
    kernels = draw(B, N, C // 8, 2)
    masks = in_place(decoder._upscaled(image) @ kernels, (height, width))
    features = image.transpose(2, 3).reshape(B * N, C, height, width)
    upscaled = decoder.output_upscaling(features).view(B, N, C // 8, 4 * height, 4 * width)
    expected = torch.einsum("bnchw,bncm->bnmhw", upscaled, kernels)
    assert masks.shape == (B, N, 2, 4 * height, 4 * width)
    torch.testing.assert_close(masks, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("multimask_output, num_masks", [(True, 3), (False, 1), (None, 4)])
def test_shapes_follow_the_choice_of_masks(decoder, inputs, multimask_output, num_masks):
    prediction = decoder(*inputs, multimask_output=multimask_output)
    assert prediction.low_res_logits.shape == (B, N, num_masks, 4 * GRID, 4 * GRID)
    assert prediction.iou_predictions.shape == (B, N, num_masks)


def test_single_mask_is_token_0_and_the_three_are_tokens_1_to_3(decoder, inputs):
    everything = decoder(*inputs, multimask_output=None)
    for choice, tokens in ((False, slice(0, 1)), (True, slice(1, 4))):
        chosen = decoder(*inputs, multimask_output=choice)
        torch.testing.assert_close(chosen.low_res_logits, everything.low_res_logits[:, :, tokens])
        torch.testing.assert_close(chosen.iou_predictions, everything.iou_predictions[:, :, tokens])


def test_each_mask_comes_from_its_own_hypernetwork(decoder, inputs):
    before = decoder(*inputs, multimask_output=None).low_res_logits
    for token in range(NUM_MASK_TOKENS):
        bias = decoder.output_hypernetworks_mlps[token].layers[-1].bias
        bias += 1
        after = decoder(*inputs, multimask_output=None).low_res_logits
        moved = (after - before).abs().amax(dim=(0, 1, 3, 4)) > 1e-4
        assert moved.tolist() == [index == token for index in range(NUM_MASK_TOKENS)]
        bias -= 1


def test_iou_predictions_need_neither_upscaling_nor_hypernetworks(decoder, inputs):
    before = decoder(*inputs, multimask_output=None)
    for parameter in [*decoder.output_upscaling.parameters(), *decoder.output_hypernetworks_mlps.parameters()]:
        parameter.zero_()
    after = decoder(*inputs, multimask_output=None)
    assert torch.equal(after.iou_predictions, before.iou_predictions)
    assert not after.low_res_logits.any()


def test_absent_tokens_change_nothing(decoder, inputs):
    features, image_pe, prompts = inputs
    padded = PromptEmbedding(
        sparse=torch.cat([50 * draw(B, N, 1, C), prompts.sparse, 50 * draw(B, N, 2, C)], dim=2),
        present=torch.tensor([False, True, True, False, False]).expand(B, N, -1),
        dense=prompts.dense,
    )
    expected = decoder(features, image_pe, prompts, multimask_output=None)
    with_absent = decoder(features, image_pe, padded, multimask_output=None)
    torch.testing.assert_close(with_absent.low_res_logits, expected.low_res_logits, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(with_absent.iou_predictions, expected.iou_predictions, atol=1e-9, rtol=1e-9)


def test_dense_prompts_of_each_object_equal_those_of_all_where_they_are_the_same(decoder, inputs):
    features, image_pe, prompts = inputs
    each_offset = replace(
        prompts.dense, small=torch.zeros(B, N, GRID**2, 4).double(), offset=prompts.dense.offset.expand(B, N, -1, -1)
    )
    shared = decoder(features, image_pe, prompts, multimask_output=None)
    each = decoder(features, image_pe, replace(prompts, dense=each_offset), multimask_output=None)
    torch.testing.assert_close(each.low_res_logits, shared.low_res_logits, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(each.iou_predictions, shared.iou_predictions, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("with_masks", [True, False])
def test_objects_decoded_in_portions_equal_all_at_once(decoder, inputs, monkeypatch, at_once, with_masks):
    features, image_pe, prompts = inputs
    if with_masks:
        dense = DensePrompt(small=draw(B, N, GRID**2, 4), lift=prompts.dense.lift, offset=draw(B, N, 1, C))
        prompts = replace(prompts, dense=dense)
    whole = decoder(features, image_pe, prompts, multimask_output=None)
    monkeypatch.setattr("sam_ft.models.mask_decoder._NUMBERS_AT_ONCE", at_once * features.numel())
    seen = []
    decoder.transformer.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    with torch.no_grad():
        portions = decoder(features, image_pe, prompts, multimask_output=None)
    assert seen == ([1, 1, 1] if at_once == 1 else [2, 1])
    torch.testing.assert_close(portions.low_res_logits, whole.low_res_logits, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(portions.iou_predictions, whole.iou_predictions, atol=1e-9, rtol=1e-9)


def test_training_decodes_all_objects_at_once(decoder, inputs, monkeypatch):
    monkeypatch.setattr("sam_ft.models.mask_decoder._NUMBERS_AT_ONCE", 1)
    seen = []
    decoder.transformer.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    decoder(*inputs, multimask_output=None)
    assert seen == [N]
