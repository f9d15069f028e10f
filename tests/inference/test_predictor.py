from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sam_ft import Execution, ObjectPrompt, SamPredictor, build_model, sam_model_registry, save_meta
from sam_ft.models.sam.model import Sam

RNG = np.random.default_rng(0)
WIDE, TALL = (RNG.integers(0, 256, shape, dtype=np.uint8) for shape in ((40, 96, 3), (80, 33, 3)))
POINT = ObjectPrompt(points=np.array([[20, 10]]), labels=np.array([1]))
POINTS = ObjectPrompt(points=np.array([[20, 10], [3, 30], [25, 12]]), labels=np.array([1, 0, 1]))
BOX = ObjectPrompt(box=np.array([2, 3, 30, 20]))
BOTH = ObjectPrompt(points=POINT.points, labels=POINT.labels, box=BOX.box)


@pytest.fixture(scope="module")
def model() -> Sam:
    torch.manual_seed(3)
    return build_model("vit_tiny", image_size=64).eval()


@pytest.fixture
def predictor(model: Sam) -> SamPredictor:
    return SamPredictor(model)


def ask(predictor: SamPredictor, prompt: ObjectPrompt, **options: bool) -> tuple[np.ndarray, ...]:
    return predictor.predict(
        point_coords=prompt.points,
        point_labels=prompt.labels,
        box=prompt.box,
        mask_input=None if prompt.mask is None else prompt.mask[None],
        **options,
    )


def test_shapes_and_types_are_the_originals(predictor: SamPredictor) -> None:
    predictor.set_image(WIDE)
    masks, scores, logits = ask(predictor, POINT)
    assert (masks.shape, masks.dtype) == ((3, 40, 96), bool)
    assert (scores.shape, scores.dtype) == ((3,), np.float32)
    assert (logits.shape, logits.dtype) == ((3, 16, 16), np.float32)
    masks, scores, _ = ask(predictor, BOX, multimask_output=False, return_logits=True)
    assert (masks.shape, masks.dtype, scores.shape) == ((1, 40, 96), np.float32, (1,))


def test_a_call_for_ragged_prompts_of_many_images_is_the_loop_over_them(predictor: SamPredictor) -> None:
    predictor.set_image(TALL)
    logits = ask(predictor, POINT)[2][1]
    again = ObjectPrompt(points=POINTS.points, labels=POINTS.labels, mask=logits)
    prompts = [[POINT, POINTS, BOX, BOTH], [again, BOX], [ObjectPrompt(mask=logits)]]
    images = [WIDE, TALL, TALL]
    predictor.set_images(images)
    together = predictor.predict_batch(prompts, multimask_output=False)
    for image, asked, (masks, scores, found) in zip(images, prompts, together, strict=True):
        predictor.set_image(image)
        assert masks.shape == (len(asked), 1, *image.shape[:2])
        for index, prompt in enumerate(asked):
            alone = ask(predictor, prompt, multimask_output=False)
            assert np.abs(found[index] - alone[2]).max() < 1e-4
            assert np.abs(scores[index] - alone[1]).max() < 1e-4
            assert (masks[index] == alone[0]).mean() > 0.999


def test_predict_torch_takes_objects_in_the_frame(predictor: SamPredictor) -> None:
    predictor.set_image(WIDE)
    coords = predictor.transform.apply_coords_torch(torch.tensor([[[20, 10]], [[50, 30]]]), WIDE.shape[:2])
    boxes = predictor.transform.apply_boxes_torch(torch.tensor([[2, 3, 30, 20], [40, 20, 60, 39]]), WIDE.shape[:2])
    masks, scores, logits = predictor.predict_torch(coords, torch.ones(2, 1), boxes, multimask_output=False)
    assert (masks.shape, scores.shape, logits.shape) == ((2, 1, 40, 96), (2, 1), (2, 1, 16, 16))
    alone = ask(predictor, BOTH, multimask_output=False)
    assert np.abs(logits[0].numpy() - alone[2]).max() < 1e-4


def test_a_resized_tensor_is_the_image(predictor: SamPredictor) -> None:
    predictor.set_image(WIDE)
    features = predictor.get_image_embedding().clone()
    resized = torch.as_tensor(predictor.transform.apply_image(WIDE)).permute(2, 0, 1)[None]
    predictor.set_torch_image(resized, WIDE.shape[:2])
    assert torch.equal(predictor.get_image_embedding(), features)
    with pytest.raises(ValueError, match="transformed_image"):
        predictor.set_torch_image(resized, (40, 40))


def test_a_saved_embedding_answers_as_the_image(predictor: SamPredictor, tmp_path: Path) -> None:
    predictor.set_image(WIDE)
    expected = ask(predictor, POINT)
    predictor.save_embedding(tmp_path / "wide.safetensors")
    other = SamPredictor(predictor.model)
    other.load_embedding(tmp_path / "wide.safetensors")
    assert other.original_size == (40, 96)
    for ours, theirs in zip(ask(other, POINT), expected, strict=True):
        assert np.array_equal(ours, theirs)


def test_a_saved_embedding_of_other_weights_and_other_files_are_refused(
    predictor: SamPredictor, tmp_path: Path
) -> None:
    predictor.set_image(WIDE)
    predictor.save_embedding(tmp_path / "wide.safetensors")
    other = SamPredictor(build_model("vit_tiny", image_size=64))
    with pytest.raises(ValueError, match="Expected the embedding of a model"):
        other.load_embedding(tmp_path / "wide.safetensors")
    (tmp_path / "text.txt").write_text("hello")
    for path in ("text.txt", "missing.safetensors"):
        with pytest.raises(ValueError, match=path):
            predictor.load_embedding(tmp_path / path)


def embedding_of(predictor: SamPredictor, image: np.ndarray, **options: str) -> torch.Tensor:
    predictor.set_image(image, **options)
    return predictor.get_image_embedding()


def test_grey_deep_and_transparent_images_are_taken(predictor: SamPredictor) -> None:
    grey = WIDE[..., 0]
    expected = embedding_of(predictor, np.repeat(grey[..., None], 3, axis=-1))
    assert torch.equal(embedding_of(predictor, grey), expected)
    assert torch.equal(embedding_of(predictor, grey[..., None]), expected)
    rgba = np.concatenate([WIDE, RNG.integers(0, 256, (40, 96, 1), dtype=np.uint8)], axis=-1)
    assert torch.equal(embedding_of(predictor, rgba), embedding_of(predictor, WIDE))
    assert torch.equal(embedding_of(predictor, WIDE[..., ::-1], image_format="BGR"), embedding_of(predictor, WIDE))
    deep = np.linspace(1000, 3000, 40 * 96).reshape(40, 96).astype(np.uint16)
    shown = ((deep - 1010.0) / 1980 * 255).clip(0, 255).round().astype(np.uint8)
    assert (embedding_of(predictor, deep) - embedding_of(predictor, shown)).abs().max() < 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (64, 64)])
def test_images_of_any_size_are_taken(predictor: SamPredictor, size: tuple[int, int]) -> None:
    predictor.set_image(np.zeros((*size, 3), dtype=np.uint8))
    masks, scores, _ = predictor.predict(point_coords=np.array([[0, 0]]), point_labels=np.array([1]))
    assert masks.shape == (3, *size) and np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "none"),
        ({"point_coords": np.array([[1, 2]])}, "labels together"),
        ({"point_labels": np.array([1])}, "none"),
        ({"point_coords": np.array([1, 2]), "point_labels": np.array([1])}, "`points` of shape"),
        ({"point_coords": np.array([[1, 2]]), "point_labels": np.array([1, 0])}, "`labels` of shape"),
        ({"box": np.array([1, 2, 3])}, "`box` of shape"),
        ({"mask_input": np.zeros((1, 8, 8), dtype=np.float32)}, "mask prompts of 16x16"),
    ],
)
def test_prompts_of_other_shapes_are_refused(predictor: SamPredictor, given: dict, message: str) -> None:
    predictor.set_image(WIDE)
    with pytest.raises(ValueError, match=message):
        predictor.predict(**given)


def test_other_images_are_refused_and_leave_the_last_one(predictor: SamPredictor) -> None:
    predictor.set_image(WIDE)
    for image in (np.zeros((4, 4, 7), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(ValueError, match="image"):
            predictor.set_image(image)
    with pytest.raises(ValueError, match="RGB or BGR"):
        predictor.set_image(WIDE, "HSV")
    with pytest.raises(ValueError, match="at least one image"):
        predictor.set_images([])
    assert predictor.is_image_set
    with pytest.raises(ValueError, match="prompts of 1 images, but got those of 2"):
        predictor.predict_batch([[POINT], [POINT]])


def test_bfloat16_answers_nearly_alike_in_float32(model: Sam) -> None:
    exact, quick = SamPredictor(model), SamPredictor(model, execution=Execution(bf16=True))
    for each in (exact, quick):
        each.set_image(WIDE)
    assert quick.get_image_embedding().dtype == torch.float32
    expected, found = ask(exact, BOX)[2], ask(quick, BOX)[2]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_the_registry_builds_and_loads_by_name(tmp_path: Path) -> None:
    assert set(sam_model_registry) == {"default", "vit_h", "vit_l", "vit_b", "vit_tiny"}
    model = sam_model_registry["vit_tiny"]()
    assert not model.training and model.image_size == 512
    save_meta(model, tmp_path / "tiny.pth")
    again = sam_model_registry["vit_tiny"](checkpoint=str(tmp_path / "tiny.pth"))
    assert torch.equal(again.image_encoder.pos_embed, model.image_encoder.pos_embed)
    with pytest.raises(ValueError, match="Expected a vit_b in .*tiny.pth, but got vit_tiny"):
        sam_model_registry["vit_b"](checkpoint=tmp_path / "tiny.pth")
