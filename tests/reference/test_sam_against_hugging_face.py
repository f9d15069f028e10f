from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sam_ft.types import ABSENT, ImageEmbedding, Prompts

pytestmark = pytest.mark.reference

TOLERANCE = 1e-5
NUM_IMAGES, NUM_OBJECTS = 2, 3

KINDS = ["point", "points", "box", "mask", "point+box", "points+box", "points+mask", "box+mask", "points+box+mask"]


def draw_prompts(kind: str, *, image_size: int, objects: int = NUM_OBJECTS, images: int = NUM_IMAGES) -> Prompts:
    generator = torch.Generator().manual_seed(3)
    kinds = kind.split("+")
    points = labels = boxes = masks = None
    if "point" in kinds:
        points = torch.rand(images, objects, 1, 2, generator=generator) * image_size
        labels = torch.ones(images, objects, 1, dtype=torch.int64)
    if "points" in kinds:
        points = torch.rand(images, objects, 3, 2, generator=generator) * image_size
        labels = torch.tensor([1, 0, 1]).expand(images, objects, 3).clone()
    if "box" in kinds:
        corners = torch.rand(images, objects, 2, 2, generator=generator).sort(dim=2).values * image_size
        boxes = corners.flatten(2)
    if "mask" in kinds:
        side = image_size // 4
        masks = 5 * torch.randn(images, objects, side, side, generator=generator)
    return Prompts(points=points, labels=labels, boxes=boxes, masks=masks)


def draw_images(image_size: int, *, images: int = NUM_IMAGES) -> Tensor:
    return torch.randn(images, 3, image_size, image_size, generator=torch.Generator().manual_seed(5))


def draw_features(pair, *, images: int = NUM_IMAGES) -> Tensor:
    grid, width = pair.ours.prompt_encoder.embedding_size, pair.ours.mask_decoder.iou_token.embedding_dim
    return torch.randn(images, width, grid, grid, generator=torch.Generator().manual_seed(6))


def test_redrawn_weights_are_nowhere_zero(tiny):
    for name, tensor in tiny.ours.state_dict().items():
        assert (tensor == 0).float().mean() < 1e-3, name
        assert tensor.std() > 0 or tensor.numel() == 1, name


@torch.no_grad()
def test_image_encoder_computes_what_transformers_computes(tiny, largest_difference):
    images = draw_images(tiny.ours.image_size)
    ours = tiny.ours.encode_image(images).features
    assert largest_difference(ours, tiny.theirs_encode(images)) < TOLERANCE


@torch.no_grad()
def test_image_positions_are_those_of_transformers(tiny, largest_difference):
    theirs = tiny.theirs.get_image_wide_positional_embeddings()[0]
    assert largest_difference(tiny.ours.prompt_encoder.image_pe(), theirs) < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_prompt_encoder_computes_what_transformers_computes(tiny, largest_difference, kind):
    objects = 1 if "mask" in kind else NUM_OBJECTS
    prompts = draw_prompts(kind, image_size=tiny.ours.image_size, objects=objects)
    ours = tiny.ours.prompt_encoder(prompts)
    sparse, dense = tiny.theirs_prompts(prompts)
    if sparse is None:
        assert not ours.present.any()
    else:
        present = ours.sparse[ours.present].view_as(sparse)  # without the places of absent tokens
        assert largest_difference(present, sparse) < TOLERANCE
    whole = ours.dense.whole()[:, 0].mT.expand(len(dense), -1, dense[0, 0].numel()).reshape(dense.shape)  # (B, C, h, w)
    assert largest_difference(whole, dense) < TOLERANCE


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_decoder_computes_what_transformers_computes(tiny, largest_difference, kind, multimask_output):
    prompts, features = draw_prompts(kind, image_size=tiny.ours.image_size), draw_features(tiny)
    ours = tiny.ours.decode(ImageEmbedding(features), prompts, multimask_output=multimask_output)
    theirs = tiny.theirs_decode(features, prompts, multimask_output=multimask_output)
    assert ours.low_res_logits.shape[:3] == (NUM_IMAGES, NUM_OBJECTS, 3 if multimask_output else 1)
    assert largest_difference(ours.low_res_logits, theirs.low_res_logits) < TOLERANCE
    assert largest_difference(ours.iou_predictions, theirs.iou_predictions) < TOLERANCE


@torch.no_grad()
def test_all_four_masks_are_the_single_one_before_the_three(tiny, largest_difference):
    prompts, features = draw_prompts("points", image_size=tiny.ours.image_size), draw_features(tiny)
    ours = tiny.ours.decode(ImageEmbedding(features), prompts, multimask_output=None)
    each = [tiny.theirs_decode(features, prompts, multimask_output=choice) for choice in (False, True)]
    assert largest_difference(ours.low_res_logits, torch.cat([one.low_res_logits for one in each], 2)) < TOLERANCE
    assert largest_difference(ours.iou_predictions, torch.cat([one.iou_predictions for one in each], 2)) < TOLERANCE


@torch.no_grad()
def test_whole_model_computes_what_transformers_computes(tiny, largest_difference):
    assert_whole_model_agrees(tiny, largest_difference, kinds=KINDS)


@torch.no_grad()
def test_objects_with_different_prompts_in_one_call_equal_transformers_one_by_one(tiny, largest_difference):
    size = tiny.ours.image_size
    drawn = draw_prompts("points+box+mask", image_size=size, objects=6)
    features = draw_features(tiny)
    kinds = ["point", "points", "box", "mask", "points+box", "points+mask"]
    labels = drawn.labels.clone()
    labels[:, 0, 1:] = ABSENT
    for n, kind in enumerate(kinds):
        if "point" not in kind:
            labels[:, n] = ABSENT
    mixed = Prompts(
        points=drawn.points.masked_fill((labels == ABSENT)[..., None], 1e4),
        labels=labels,
        boxes=drawn.boxes,
        masks=drawn.masks,
        has_box=torch.tensor(["box" in kind for kind in kinds]).expand(NUM_IMAGES, -1),
        has_mask=torch.tensor(["mask" in kind for kind in kinds]).expand(NUM_IMAGES, -1),
    )
    ours = tiny.ours.decode(ImageEmbedding(features), mixed, multimask_output=True)
    for n, kind in enumerate(kinds):
        here = slice(n, n + 1)
        count = {"point": 1, "points": 3}.get(kind.split("+")[0], 0)
        alone = Prompts(
            points=drawn.points[:, here, :count] if count else None,
            labels=drawn.labels[:, here, :count] if count else None,
            boxes=drawn.boxes[:, here] if "box" in kind else None,
            masks=drawn.masks[:, here] if "mask" in kind else None,
        )
        theirs = tiny.theirs_decode(features, alone, multimask_output=True)
        assert largest_difference(ours.low_res_logits[:, here], theirs.low_res_logits) < TOLERANCE, kind
        assert largest_difference(ours.iou_predictions[:, here], theirs.iou_predictions) < TOLERANCE, kind


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_images_and_objects_in_one_call_equal_the_loop(tiny, largest_difference, kind):
    prompts, features = draw_prompts(kind, image_size=tiny.ours.image_size), draw_features(tiny)
    together = tiny.ours.decode(ImageEmbedding(features), prompts, multimask_output=None)
    given = {name: getattr(prompts, name) for name in ("points", "labels", "boxes", "masks")}
    for b in range(NUM_IMAGES):
        for n in range(NUM_OBJECTS):
            alone = Prompts(**{k: None if v is None else v[b : b + 1, n : n + 1] for k, v in given.items()})
            one = tiny.ours.decode(ImageEmbedding(features[b : b + 1]), alone, multimask_output=None)
            assert largest_difference(together.low_res_logits[b, n], one.low_res_logits[0, 0]) < TOLERANCE
            assert largest_difference(together.iou_predictions[b, n], one.iou_predictions[0, 0]) < TOLERANCE


@pytest.mark.parametrize("kind", ["points", "points+box", "points+mask"])
@torch.no_grad()
def test_absent_points_change_nothing(tiny, largest_difference, kind):
    prompts, features = draw_prompts(kind, image_size=tiny.ours.image_size), draw_features(tiny)
    padded = Prompts(
        points=torch.cat([prompts.points, torch.full_like(prompts.points, 77.0)], dim=2),
        labels=torch.cat([prompts.labels, torch.full_like(prompts.labels, ABSENT)], dim=2),
        boxes=prompts.boxes,
        masks=prompts.masks,
    )
    expected = tiny.ours.decode(ImageEmbedding(features), prompts, multimask_output=None)
    with_absent = tiny.ours.decode(ImageEmbedding(features), padded, multimask_output=None)
    assert largest_difference(with_absent.low_res_logits, expected.low_res_logits) < TOLERANCE
    assert largest_difference(with_absent.iou_predictions, expected.iou_predictions) < TOLERANCE


@pytest.mark.slow
@pytest.mark.timeout(1200)
@torch.no_grad()
def test_base_size_at_1024_computes_what_transformers_computes(base, largest_difference):
    assert_whole_model_agrees(base, largest_difference, kinds=KINDS, images=1)


def assert_whole_model_agrees(pair, largest_difference, *, kinds: list[str], images: int = NUM_IMAGES) -> None:
    frames = draw_images(pair.ours.image_size, images=images)
    embedding, features = pair.ours.encode_image(frames), pair.theirs_encode(frames)
    assert largest_difference(embedding.features, features) < TOLERANCE
    for kind in kinds:
        prompts = draw_prompts(kind, image_size=pair.ours.image_size, images=images)
        for multimask_output in (True, False):
            ours = pair.ours.decode(embedding, prompts, multimask_output=multimask_output)
            theirs = pair.theirs_decode(features, prompts, multimask_output=multimask_output)
            assert largest_difference(ours.low_res_logits, theirs.low_res_logits) < TOLERANCE, kind
            assert largest_difference(ours.iou_predictions, theirs.iou_predictions) < TOLERANCE, kind
