"""The whole model: objects and images of one call equal the loop over them, whatever prompts each object has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sam_ft.models.sam.variants import build_model, sam
from sam_ft.types import ABSENT, ImageEmbedding, MaskPrediction, Prompts

IMAGE_SIZE, GRID, WIDTH = 96, 6, 64
KINDS = ("point", "points", "box", "mask", "points+box", "point+mask", "box+mask", "points+box+mask")
NUM_IMAGES, NUM_OBJECTS = 2, len(KINDS)


@pytest.fixture(scope="module")
def model(redraw):
    tiny = sam(
        image_size=IMAGE_SIZE,
        encoder_width=24,
        encoder_depth=2,
        encoder_heads=2,
        global_attention_blocks=(1,),
        window_size=4,
        decoder_width=WIDTH,
    )
    return redraw(tiny).double()  # in which rounding cannot hide a mistake


@pytest.fixture
def embedding() -> ImageEmbedding:
    return ImageEmbedding(torch.randn(NUM_IMAGES, WIDTH, GRID, GRID, dtype=torch.float64))


def num_points(kind: str) -> int:
    return {"point": 1, "points": 3}.get(kind.split("+")[0], 0)


@pytest.fixture
def mixed() -> Prompts:
    """Every object has another kind of prompt; what an object does not have is filled with nonsense."""
    labels = torch.tensor([1, 0, 1]).expand(NUM_IMAGES, NUM_OBJECTS, 3).clone()
    for n, kind in enumerate(KINDS):
        labels[:, n, num_points(kind) :] = ABSENT
    corners = torch.rand(NUM_IMAGES, NUM_OBJECTS, 2, 2).sort(dim=2).values  # (B, N, 2, 2)
    return Prompts(
        points=torch.rand(NUM_IMAGES, NUM_OBJECTS, 3, 2) * IMAGE_SIZE,
        labels=labels,
        boxes=corners.flatten(2) * IMAGE_SIZE,
        masks=5 * torch.randn(NUM_IMAGES, NUM_OBJECTS, 4 * GRID, 4 * GRID, dtype=torch.float64),
        has_box=torch.tensor(["box" in kind for kind in KINDS]).expand(NUM_IMAGES, -1),
        has_mask=torch.tensor(["mask" in kind for kind in KINDS]).expand(NUM_IMAGES, -1),
    )


def alone(prompts: Prompts, b: int, n: int) -> Prompts:
    """Object n of image b with nothing but the prompts it has."""
    kind, here = KINDS[n], (slice(b, b + 1), slice(n, n + 1))
    count = num_points(kind)
    return Prompts(
        points=prompts.points[here][:, :, :count] if count else None,
        labels=prompts.labels[here][:, :, :count] if count else None,
        boxes=prompts.boxes[here] if "box" in kind else None,
        masks=prompts.masks[here] if "mask" in kind else None,
    )


def every_object() -> Iterator[tuple[int, int]]:
    return ((b, n) for b in range(NUM_IMAGES) for n in range(NUM_OBJECTS))


def assert_close(ours: MaskPrediction, expected: MaskPrediction) -> None:
    torch.testing.assert_close(ours.low_res_logits, expected.low_res_logits, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(ours.iou_predictions, expected.iou_predictions, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("multimask_output", [True, False, None])
@torch.no_grad()
def test_objects_with_different_prompts_in_one_call_equal_the_loop(model, embedding, mixed, multimask_output):
    together = model.decode(embedding, mixed, multimask_output=multimask_output)
    for b, n in every_object():
        features = ImageEmbedding(embedding.features[b : b + 1])
        one = model.decode(features, alone(mixed, b, n), multimask_output=multimask_output)
        here = MaskPrediction(together.low_res_logits[b, n][None, None], together.iou_predictions[b, n][None, None])
        assert_close(here, one)


@torch.no_grad()
def test_what_absent_prompts_hold_changes_not_one_bit(model, embedding, mixed):
    is_absent = mixed.labels == ABSENT
    other = replace(
        mixed,
        points=torch.where(is_absent[..., None], -1e5, mixed.points),
        boxes=torch.where(mixed.has_box[..., None], mixed.boxes, 777.0),
        masks=torch.where(mixed.has_mask[..., None, None], mixed.masks, 1e3),
    )
    expected = model.decode(embedding, mixed, multimask_output=None)
    changed = model.decode(embedding, other, multimask_output=None)
    assert torch.equal(changed.low_res_logits, expected.low_res_logits)
    assert torch.equal(changed.iou_predictions, expected.iou_predictions)


@torch.no_grad()
def test_more_absent_points_change_nothing(model, embedding, mixed):
    points = torch.cat([torch.rand(NUM_IMAGES, NUM_OBJECTS, 2, 2), mixed.points], dim=2)
    absent = torch.full((NUM_IMAGES, NUM_OBJECTS, 2), ABSENT)
    more = replace(mixed, points=points, labels=torch.cat([absent, mixed.labels], dim=2))
    expected = model.decode(embedding, mixed, multimask_output=None)
    assert_close(model.decode(embedding, more, multimask_output=None), expected)


def nothing(objects: int) -> Prompts:
    return Prompts(
        points=torch.zeros(NUM_IMAGES, objects, 1, 2),
        labels=torch.full((NUM_IMAGES, objects, 1), ABSENT),
        boxes=torch.zeros(NUM_IMAGES, objects, 4),
        masks=torch.zeros(NUM_IMAGES, objects, 4 * GRID, 4 * GRID, dtype=torch.float64),
        has_box=torch.zeros(NUM_IMAGES, objects, dtype=torch.bool),
        has_mask=torch.zeros(NUM_IMAGES, objects, dtype=torch.bool),
    )


def test_objects_without_any_prompt_give_finite_numbers_and_gradients(model, embedding):
    model.zero_grad()
    prediction = model.decode(embedding, nothing(2), multimask_output=None)
    assert prediction.low_res_logits.isfinite().all() and prediction.iou_predictions.isfinite().all()
    (prediction.low_res_logits.sum() + prediction.iou_predictions.sum()).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def gradients_of(model, embedding: ImageEmbedding, prompts: Prompts, objects: int) -> dict[str, Tensor]:
    """Of a loss on the first `objects` objects alone."""
    model.zero_grad()
    prediction = model.decode(embedding, prompts, multimask_output=None)
    loss = prediction.low_res_logits[:, :objects].square().mean() + prediction.iou_predictions[:, :objects].sum()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_padded_objects_change_no_gradient(model, embedding, mixed):
    padding = nothing(3)
    padded = Prompts(
        points=torch.cat([mixed.points, torch.zeros(NUM_IMAGES, 3, 3, 2)], dim=1),
        labels=torch.cat([mixed.labels, torch.full((NUM_IMAGES, 3, 3), ABSENT)], dim=1),
        boxes=torch.cat([mixed.boxes, padding.boxes], dim=1),
        masks=torch.cat([mixed.masks, padding.masks], dim=1),
        has_box=torch.cat([mixed.has_box, padding.has_box], dim=1),
        has_mask=torch.cat([mixed.has_mask, padding.has_mask], dim=1),
    )
    expected = gradients_of(model, embedding, mixed, NUM_OBJECTS)
    actual = gradients_of(model, embedding, padded, NUM_OBJECTS)
    assert actual.keys() == expected.keys() and len(expected) > 50
    for name, gradient in expected.items():
        scale = gradient.abs().max().clamp(min=1e-3)
        assert (actual[name] - gradient).abs().max() < 1e-9 * scale, name


def test_prompts_that_no_loss_looks_at_receive_no_gradient(model, embedding, mixed):
    masks = mixed.masks.clone().requires_grad_()
    boxes = mixed.boxes.clone().requires_grad_()
    prediction = model.decode(embedding, replace(mixed, masks=masks, boxes=boxes), multimask_output=None)
    prediction.low_res_logits[:, :-1].square().sum().backward()
    assert not masks.grad[:, -1].any() and not boxes.grad[:, -1].any()
    assert masks.grad[:, KINDS.index("mask")].any() and boxes.grad[:, KINDS.index("box")].any()
    assert not masks.grad[:, KINDS.index("box")].any() and not boxes.grad[:, KINDS.index("mask")].any()


@torch.no_grad()
def test_images_of_a_batch_equal_the_loop(model):
    images = torch.randn(NUM_IMAGES, 3, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.float64)
    together = model.encode_image(images).features
    assert together.shape == (NUM_IMAGES, WIDTH, GRID, GRID)
    each = torch.cat([model.encode_image(image[None]).features for image in images])
    torch.testing.assert_close(together, each, atol=1e-9, rtol=1e-9)


def test_training_reaches_the_image_encoder_through_every_prompt_kind(model, mixed):
    model.zero_grad()
    embedding = model.encode_image(torch.randn(NUM_IMAGES, 3, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.float64))
    prediction = model.decode(embedding, mixed, multimask_output=None)
    (prediction.low_res_logits.square().mean() + prediction.iou_predictions.square().mean()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not without


def test_model_computes_in_bfloat16_under_autocast(mixed):
    model = build_model("vit_tiny", image_size=IMAGE_SIZE)
    mixed = replace(mixed, masks=mixed.masks.float())
    images = torch.randn(NUM_IMAGES, 3, IMAGE_SIZE, IMAGE_SIZE)
    with torch.no_grad():
        exact = model.decode(model.encode_image(images), mixed, multimask_output=None)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.decode(model.encode_image(images), mixed, multimask_output=None)
    assert rough.low_res_logits.dtype == torch.bfloat16
    difference = (rough.low_res_logits.float() - exact.low_res_logits).abs().mean()
    assert difference < 0.1 * exact.low_res_logits.abs().mean()
    rough.low_res_logits.float().square().mean().backward()
    assert model.image_encoder.patch_embed.proj.weight.grad.isfinite().all()


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="Expected `images` \\(B, 3, 32, 32\\), but got \\(1, 3, 64, 64\\)"):
        build_model("vit_tiny", image_size=32).encode_image(torch.zeros(1, 3, 64, 64))
