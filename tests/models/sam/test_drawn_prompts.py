from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sam_ft.checkpoints import load_model, save_hugging_face, save_safetensors
from sam_ft.models.sam.drawn_prompts import DrawnPromptEncoder, draw_prompts
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model, variant_of
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, Prompts

SIZE, MASK = 64, 16  # a pixel of the mask is 4 pixels of the frame
OUTSIDE, INSIDE, WRONG, RIGHT = -5.0, 5.0, -10.0, 10.0


@pytest.fixture
def model(redraw) -> Sam:
    model = redraw(build_model("vit_tiny", image_size=SIZE)).eval()
    draw_prompts(model)
    return model


@pytest.fixture
def encoder(model) -> DrawnPromptEncoder:
    assert isinstance(model.prompt_encoder, DrawnPromptEncoder)
    return model.prompt_encoder


def clicks(*points_xy: tuple[float, float], labels: tuple[int, ...]) -> dict[str, Tensor]:
    return {"points": torch.tensor([[points_xy]]).float(), "labels": torch.tensor([[labels]])}


def test_a_box_fills_the_cells_that_it_covers(encoder):
    drawn = encoder.drawn(Prompts(boxes=torch.tensor([[[8.0, 16.0, 19.0, 31.0]]]))).masks  # cells 2 to 4, 4 to 7
    expected = torch.full((MASK, MASK), OUTSIDE)
    expected[4:8, 2:5] = INSIDE
    torch.testing.assert_close(drawn[0, 0], expected)


def test_a_cell_that_a_box_covers_in_part_lies_between(encoder):
    boxes = torch.tensor([[[9.0, 16.0, 19.0, 31.0], [9.0, 17.0, 9.0, 17.0]]])
    drawn = encoder.drawn(Prompts(boxes=boxes)).masks
    assert drawn[0, 0, 5, 2] == pytest.approx(OUTSIDE + 0.75 * (INSIDE - OUTSIDE))
    assert drawn[0, 0, 5, 1] == OUTSIDE
    assert drawn[0, 1, 4, 2] == pytest.approx(OUTSIDE + (INSIDE - OUTSIDE) / 16)  # one pixel of sixteen


def test_a_click_is_a_spot_around_its_pixel(encoder):
    drawn = encoder.drawn(Prompts(**clicks((21.5, 33.5), labels=(FOREGROUND,)))).masks[0, 0]  # the centre of a cell
    assert drawn[8, 5] == RIGHT
    assert drawn[8, 6] == pytest.approx(RIGHT * 0.6065, abs=1e-3)  # one standard deviation away
    assert drawn[9, 5] == drawn[7, 5] == drawn[8, 4] == drawn[8, 6]
    assert drawn[0, 0] == pytest.approx(0.0, abs=1e-6)


def test_a_click_on_the_background_is_drawn_over_the_box(encoder):
    box = torch.tensor([[[0.0, 0.0, 63.0, 63.0]]])
    drawn = encoder.drawn(Prompts(boxes=box, **clicks((21.5, 33.5), labels=(BACKGROUND,)))).masks[0, 0]
    assert drawn[8, 5] == WRONG
    assert drawn[0, 0] == INSIDE


def test_clicks_are_drawn_over_the_mask_of_the_round_before_and_the_box_is_not(encoder):
    mask = torch.full((1, 1, MASK, MASK), 3.0)
    box = torch.tensor([[[0.0, 0.0, 15.0, 15.0]]])
    drawn = encoder.drawn(Prompts(boxes=box, masks=mask, **clicks((21.5, 33.5), labels=(FOREGROUND,)))).masks[0, 0]
    assert drawn[8, 5] == RIGHT
    assert drawn[0, 0] == drawn[15, 15] == 3.0


def test_an_object_without_prompts_has_no_mask(encoder):
    absent = Prompts(**clicks((21.5, 33.5), labels=(ABSENT,)))
    drawn = encoder.drawn(absent)
    assert not drawn.has_mask.any()
    plain = build_model("vit_tiny", image_size=SIZE)
    plain.prompt_encoder.load_state_dict(encoder.state_dict(), strict=False)
    dense = encoder(absent).dense.whole()
    torch.testing.assert_close(dense, plain.prompt_encoder(absent).dense.whole().expand_as(dense))


@torch.no_grad()
def test_objects_of_one_call_do_not_see_each_others_drawings(model):
    model = model.double()
    embedding = model.encode_image(torch.randn(1, 3, SIZE, SIZE, dtype=torch.float64))
    boxes = torch.tensor([[[8.0, 16.0, 19.0, 31.0], [30.0, 2.0, 50.0, 40.0]]]).double()
    points, labels = torch.tensor([[[[12.0, 20.0]], [[40.0, 10.0]]]]).double(), torch.tensor([[[ABSENT], [FOREGROUND]]])
    prompts = Prompts(points=points, labels=labels, boxes=boxes, has_box=torch.tensor([[True, False]]))
    both = model.decode(embedding, prompts, multimask_output=True).low_res_logits
    first = model.decode(embedding, Prompts(boxes=boxes[:, :1]), multimask_output=True).low_res_logits
    second = Prompts(points=points[:, 1:], labels=labels[:, 1:])
    torch.testing.assert_close(both[:, :1], first, atol=1e-9, rtol=1e-9)
    answer = model.decode(embedding, second, multimask_output=True).low_res_logits
    torch.testing.assert_close(both[:, 1:], answer, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_weights_that_have_learnt_with_drawings_draw_after_loading(model, tmp_path):
    save_safetensors(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert isinstance(loaded.prompt_encoder, DrawnPromptEncoder)
    assert variant_of(loaded) == "vit_tiny"
    prompts, image = Prompts(boxes=torch.tensor([[[8.0, 16.0, 19.0, 31.0]]])), torch.randn(1, 3, SIZE, SIZE)
    answers = [m.decode(m.encode_image(image), prompts, multimask_output=True) for m in (model, loaded)]
    assert torch.equal(answers[0].low_res_logits, answers[1].low_res_logits)


def test_drawing_twice_changes_nothing(model, encoder):
    draw_prompts(model)
    assert model.prompt_encoder is encoder


def test_a_model_that_draws_is_not_written_for_transformers_which_would_not(model, tmp_path):
    with pytest.raises(ValueError, match="drawn"):
        save_hugging_face(model, tmp_path)
