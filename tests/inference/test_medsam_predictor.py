from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from sam_ft import MedSAMPredictor, SamPredictor, build_model
from sam_ft.inference.medsam_predictor import shown, stretched_to
from sam_ft.models.sam.model import Sam
from sam_ft.types import Prompts

RNG = np.random.default_rng(0)
SLICE = RNG.integers(-1000, 1000, (40, 96)).astype(np.int16)
BOX = np.array([12, 8, 60, 30])


@pytest.fixture(scope="module")
def model() -> Sam:
    torch.manual_seed(3)
    return build_model("vit_tiny", image_size=64).eval()


def test_a_box_is_answered_as_medsam_does(model: Sam) -> None:
    predictor = MedSAMPredictor(model)
    predictor.set_image(SLICE, window=(40, 400))
    mask, scores, logits = predictor.predict(box=BOX)
    grey = np.repeat(shown(SLICE, (40, 400))[..., None], 3, axis=-1)
    frame = torch.from_numpy(stretched_to(grey, 64)).permute(2, 0, 1)[None]
    box = torch.tensor([12 / 96, 8 / 40, 60 / 96, 30 / 40])[None, None] * 64
    with torch.no_grad():
        answer = model.decode(model.encode_image(frame), Prompts(boxes=box), multimask_output=False)
        shares = functional.interpolate(answer.low_res_logits.sigmoid()[0], (40, 96), mode="bilinear")
    assert np.abs(logits - answer.low_res_logits[0, 0].numpy()).max() < 1e-5
    assert np.array_equal(mask, shares[0].numpy() > 0.5)
    assert scores.shape == (1,) and mask.shape == (1, 40, 96)


def test_weights_of_sam_ft_see_images_as_sam_does(model: Sam) -> None:
    ours, plain = MedSAMPredictor(model, preparation="sam"), SamPredictor(model)
    ours.set_image(SLICE, window="lung")
    plain.set_image(shown(SLICE, "lung"))
    for one, other in zip(ours.predict(box=BOX), plain.predict(box=BOX, multimask_output=False), strict=True):
        assert np.array_equal(one, other)


def test_clicks_lie_where_the_slice_was_stretched_to(model: Sam) -> None:
    """A slice and the same slice with every row four times: a click at four times the row means the same."""
    flat, tall = MedSAMPredictor(model), MedSAMPredictor(model)
    smooth = np.add.outer(np.arange(16.0), np.arange(64.0)).astype(np.uint8)
    flat.set_image(smooth)
    tall.set_image(np.repeat(smooth, 4, axis=0))
    clicked = flat.predict(point_coords=np.array([[20, 5]]), point_labels=np.array([1]))[2]
    again = tall.predict(point_coords=np.array([[20, 20]]), point_labels=np.array([1]))[2]
    elsewhere = tall.predict(point_coords=np.array([[20, 5]]), point_labels=np.array([1]))[2]
    assert np.abs(clicked - again).mean() < 0.5 * np.abs(clicked - elsewhere).mean()


def test_a_stretched_slice_runs_from_0_to_1_and_keeps_its_shape() -> None:
    gradient = np.repeat(np.linspace(10, 200, 100).astype(np.uint8)[None, :, None], 30, axis=0).repeat(3, axis=2)
    for side in (64, 200):
        frame = stretched_to(gradient, side)
        assert frame.shape == (side, side, 3) and frame.dtype == np.float32
        assert frame.min() == 0 and frame.max() == 1
        expected = np.linspace(0, 1, side)
        assert np.abs(frame[side // 2, :, 0] - expected).max() < 0.03
    assert (stretched_to(np.full((5, 5, 3), 7, np.uint8), 8) == 0).all()


def test_mistakes_are_said(model: Sam) -> None:
    predictor = MedSAMPredictor(model)
    with pytest.raises(RuntimeError, match="set_image"):
        predictor.predict(box=BOX)
    with pytest.raises(ValueError, match="window"):
        predictor.set_image(SLICE, window="liverr")
    with pytest.raises(ValueError, match="preparation"):
        MedSAMPredictor(model, preparation="other")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        predictor.set_image(np.full((4, 4), np.nan))
    predictor.set_image(SLICE)
    with pytest.raises(ValueError, match="none"):
        predictor.predict()
