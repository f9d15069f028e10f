"""Our predictor beside segment_anything's, with the same random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sam_ft.inference.predictor import SamPredictor
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import sam

pytestmark = pytest.mark.reference

ARCHITECTURE: dict[str, Any] = {
    "image_size": 256,
    "encoder_width": 64,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "global_attention_blocks": (1,),
    "window_size": 6,
}
RNG = np.random.default_rng(5)
IMAGES = {
    "wide": RNG.integers(0, 256, (90, 160, 3), dtype=np.uint8),
    "large": RNG.integers(0, 256, (500, 330, 3), dtype=np.uint8),
    "square": RNG.integers(0, 256, (256, 256, 3), dtype=np.uint8),
    "row": RNG.integers(0, 256, (3, 700, 3), dtype=np.uint8),
    "pixel": RNG.integers(0, 256, (1, 1, 3), dtype=np.uint8),
    "black": np.zeros((64, 64, 3), dtype=np.uint8),
}
POINT: dict[str, Any] = {"point_coords": [[30, 40]], "point_labels": [1]}
POINTS: dict[str, Any] = {"point_coords": [[30, 40], [5.5, 7.25], [80, 2]], "point_labels": [1, 0, 1]}
BOX: dict[str, Any] = {"box": [10, 12, 70, 60]}
ONE: dict[str, Any] = {"multimask_output": False}
PROMPTS = {
    "point": POINT,
    "one_mask": POINT | ONE,
    "points": POINTS | ONE,
    "box": BOX | ONE,
    "box_three": BOX,
    "point_and_box": POINT | BOX | ONE,
    "points_and_box": POINTS | BOX,
    "logits": POINT | {"return_logits": True},
}
CASES: dict[str, dict[str, Any]] = {
    f"{image}-{name}": {"image": image, "prompt": prompt} for image in IMAGES for name, prompt in PROMPTS.items()
}
CASES |= {
    "bgr": {"image": "wide", "image_format": "BGR", "prompt": POINT},
    "mask_of_point": {"image": "large", "again": True, "prompt": POINT},
    "mask_of_points_and_box": {"image": "wide", "again": True, "prompt": POINTS | BOX | ONE},
}


@pytest.fixture(scope="module")
def model(redrawn: Callable[[Sam], Sam]) -> Sam:
    return redrawn(sam(**ARCHITECTURE)).eval()


@pytest.fixture(scope="module")
def theirs(model: Sam, segment_anything: Callable[..., dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return segment_anything(model, ARCHITECTURE, images=IMAGES, cases=CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_predictor_answers_as_the_original(name: str, model: Sam, theirs: dict[str, np.ndarray]) -> None:
    case = CASES[name]
    predictor = SamPredictor(model)
    predictor.set_image(IMAGES[case["image"]], case.get("image_format", "RGB"))
    given = {key: np.array(value) if isinstance(value, list) else value for key, value in case["prompt"].items()}
    if case.get("again"):
        _, scores, logits = predictor.predict(**given)
        given["mask_input"] = logits[scores.argmax()][None]
    answer = dict(zip(("masks", "scores", "logits"), predictor.predict(**given), strict=True))
    for part, ours in answer.items():
        expected = theirs[f"{name}.{part}"]
        assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype), part
    assert np.abs(answer["logits"] - theirs[f"{name}.logits"]).max() < 1e-4
    assert np.abs(answer["scores"] - theirs[f"{name}.scores"]).max() < 1e-4
    if case["prompt"].get("return_logits"):
        assert np.abs(answer["masks"] - theirs[f"{name}.masks"]).max() < 1e-4
    else:
        assert (answer["masks"] == theirs[f"{name}.masks"]).mean() >= 0.9999
        assert 0.02 < answer["masks"].mean() < 0.98 or case["image"] in ("pixel", "row")


def test_the_predictor_has_the_originals_attributes(model: Sam, theirs: dict[str, np.ndarray]) -> None:
    predictor = SamPredictor(model)
    assert not predictor.is_image_set and predictor.features is None
    predictor.set_image(IMAGES["wide"])
    assert (predictor.original_size, predictor.input_size) == ((90, 160), (144, 256))
    assert predictor.get_image_embedding().shape == (1, 256, 16, 16)
    assert torch.equal(predictor.get_image_embedding(), predictor.features)
    assert (model.image_format, model.mask_threshold, model.image_encoder.img_size) == ("RGB", 0.0, 256)
    predictor.reset_image()
    with pytest.raises(RuntimeError, match="set_image"):
        predictor.predict(**{key: np.array(value) for key, value in POINT.items()})
