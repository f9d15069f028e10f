"""Our SAM with HQ-SAM's decoder beside `transformers.SamHQModel`, SAM's mask and the new one added."""

from __future__ import annotations

import pytest
import torch

from sam_ft.checkpoints import load_model, save_hugging_face
from sam_ft.models.sam.hq import add_high_quality
from sam_ft.models.sam.variants import VARIANTS
from sam_ft.models.sam.weights import hugging_face_config, hugging_face_from_meta, meta_from_hugging_face
from sam_ft.types import Prompts

pytestmark = pytest.mark.reference

TOLERANCE = 1e-5


def draw_prompts(kind: str, image_size: int) -> Prompts:
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(2, 3, 3, 2, generator=generator) * image_size
    boxes = torch.rand(2, 3, 2, 2, generator=generator).sort(dim=2).values.flatten(2) * image_size
    labels = torch.tensor([1, 0, 1]).expand(2, 3, 3)
    return {
        "points": Prompts(points=points, labels=labels),
        "box": Prompts(boxes=boxes),
        "points+box": Prompts(points=points, labels=labels, boxes=boxes),
    }[kind]


def draw_images(image_size: int) -> torch.Tensor:
    return torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def test_early_features_are_those_of_transformers(tiny_hq, largest_difference):
    images = draw_images(tiny_hq.ours.image_size)
    ours = tiny_hq.ours.encode_image(images)
    features, early = tiny_hq.theirs.get_image_embeddings(images)
    assert largest_difference(ours.features, features) < TOLERANCE
    assert largest_difference(ours.high_resolution[0], early[0].permute(0, 3, 1, 2)) < TOLERANCE


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("kind", ["points", "box", "points+box"])
@torch.no_grad()
def test_whole_model_computes_what_transformers_computes(tiny_hq, largest_difference, kind, multimask_output):
    images, prompts = draw_images(tiny_hq.ours.image_size), draw_prompts(kind, tiny_hq.ours.image_size)
    ours = tiny_hq.ours.decode(tiny_hq.ours.encode_image(images), prompts, multimask_output=multimask_output)
    theirs = tiny_hq.theirs(
        pixel_values=images,
        input_points=prompts.points,
        input_labels=prompts.labels,
        input_boxes=prompts.boxes,
        multimask_output=multimask_output,
        hq_token_only=False,
    )
    order = ours.iou_predictions.argsort(dim=-1, descending=True)  # transformers sorts by confidence
    logits = ours.low_res_logits.take_along_dim(order[..., None, None], dim=2)
    assert largest_difference(logits, theirs.pred_masks) < TOLERANCE
    assert largest_difference(ours.iou_predictions.take_along_dim(order, dim=-1), theirs.iou_scores) < TOLERANCE


def test_names_are_those_of_transformers_and_the_way_back_is_the_identity(tiny_hq):
    ours = tiny_hq.ours.state_dict()
    renamed = hugging_face_from_meta(ours)
    assert renamed.keys() == tiny_hq.theirs.state_dict().keys()
    back = meta_from_hugging_face(renamed)
    assert back.keys() == ours.keys()
    assert all(back[name] is ours[name] for name in ours)


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_published_sizes_have_the_names_and_shapes_of_transformers(name):
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = VARIANTS[name]()
        add_high_quality(model)
        ours = model.state_dict()
        theirs = transformers.SamHQModel(transformers.SamHQConfig(**hugging_face_config(ours))).state_dict()
    renamed = hugging_face_from_meta(ours)
    assert {key: value.shape for key, value in renamed.items()} == {key: value.shape for key, value in theirs.items()}


def test_folders_go_both_ways_completely(tiny_hq, tmp_path):
    transformers = pytest.importorskip("transformers")
    save_hugging_face(tiny_hq.ours, tmp_path / "ours")
    _, info = transformers.SamHQModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    tiny_hq.theirs.save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        weights = load_model(tmp_path / folder).state_dict()
        assert weights.keys() == tiny_hq.ours.state_dict().keys()
        assert all(tensor.equal(weights[name]) for name, tensor in tiny_hq.ours.state_dict().items())
