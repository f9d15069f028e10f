from __future__ import annotations

import pytest
import torch

from sam_ft.checkpoints import load_model, read_state_dict, save_hugging_face
from sam_ft.models.sam.variants import VARIANTS
from sam_ft.models.sam.weights import hugging_face_config, hugging_face_from_meta, meta_from_hugging_face
from sam_ft.types import Prompts

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hugging_face")
    save_hugging_face(tiny.ours, folder)
    return folder


@pytest.fixture(scope="module")
def prompts(tiny) -> Prompts:
    points = torch.rand(1, 2, 3, 2, generator=torch.Generator().manual_seed(1)) * tiny.ours.image_size
    return Prompts(points=points, labels=torch.tensor([1, 0, 1]).expand(1, 2, 3))


def draw_image(image_size: int) -> torch.Tensor:
    return torch.randn(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_transformers_loads_our_folder_completely_and_computes_the_same(tiny, folder, prompts, largest_difference):
    transformers = pytest.importorskip("transformers")
    theirs, info = transformers.SamModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    image = draw_image(tiny.ours.image_size)
    output = theirs.eval()(
        pixel_values=image, input_points=prompts.points, input_labels=prompts.labels, multimask_output=True
    )
    ours = tiny.ours.decode(tiny.ours.encode_image(image), prompts, multimask_output=True)
    assert largest_difference(ours.low_res_logits, output.pred_masks) < 1e-5
    assert largest_difference(ours.iou_predictions, output.iou_scores) < 1e-5


def test_our_folder_is_read_back_bit_by_bit(tiny, folder):
    weights = load_model(folder).state_dict()
    assert weights.keys() == tiny.ours.state_dict().keys()
    for name, tensor in tiny.ours.state_dict().items():
        assert torch.equal(weights[name], tensor), name


def test_a_folder_that_transformers_saved_is_read(tiny, tmp_path):
    tiny.theirs.save_pretrained(tmp_path)
    weights = load_model(tmp_path).state_dict()
    for name, tensor in tiny.ours.state_dict().items():
        assert torch.equal(weights[name], tensor), name


def test_a_folder_in_several_pieces_is_read(tiny, tmp_path):
    tiny.theirs.save_pretrained(tmp_path, max_shard_size="5MB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    weights = read_state_dict(tmp_path)
    for name, tensor in tiny.ours.state_dict().items():
        assert torch.equal(weights[name], tensor), name


def test_names_are_those_of_transformers_and_the_way_back_is_the_identity(tiny):
    ours = tiny.ours.state_dict()
    renamed = hugging_face_from_meta(ours)
    assert renamed.keys() == tiny.theirs.state_dict().keys()
    back = meta_from_hugging_face(renamed)
    assert back.keys() == ours.keys()
    assert all(back[name] is ours[name] for name in ours)


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_published_sizes_have_the_names_and_shapes_of_transformers(name):
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        ours = VARIANTS[name]().state_dict()
        theirs = transformers.SamModel(transformers.SamConfig(**hugging_face_config(ours))).state_dict()
    renamed = hugging_face_from_meta(ours)
    assert {key: value.shape for key, value in renamed.items()} == {key: value.shape for key, value in theirs.items()}


def test_config_of_the_base_size_is_the_default_of_transformers_but_for_the_decoders_epsilon():
    """transformers' defaults are those of `facebook/sam-vit-base`."""
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        weights = VARIANTS["vit_b"]().state_dict()
    ours, default = transformers.SamConfig(**hugging_face_config(weights)), transformers.SamConfig()
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        mine, expected = getattr(ours, part).to_dict(), getattr(default, part).to_dict()
        differing = {key for key in expected if _plain(mine.get(key)) != _plain(expected[key])}
        assert differing == ({"layer_norm_eps"} if part == "mask_decoder_config" else set())


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
