from __future__ import annotations

import pytest
import torch

from sam_ft.models.prompt_encoder import PromptEncoder
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND, NOT_A_POINT, Prompts

WIDTH, IMAGE_SIZE, GRID = 16, 64, 4


@pytest.fixture
def encoder(redraw) -> PromptEncoder:
    return redraw(PromptEncoder(width=WIDTH, image_size=IMAGE_SIZE, embedding_size=GRID)).requires_grad_(False)


def position(encoder: PromptEncoder, x: float, y: float) -> torch.Tensor:
    return encoder.pe_layer((torch.tensor([x, y]) + 0.5) / IMAGE_SIZE)


def test_points_are_their_position_plus_what_their_label_means(encoder):
    points = torch.tensor([[[[3.0, 60.0], [10.0, 20.0]]]])
    embedded = encoder(Prompts(points=points, labels=torch.tensor([[[FOREGROUND, BACKGROUND]]])))
    background, foreground = (encoder.point_embeddings[i].weight[0] for i in range(2))
    torch.testing.assert_close(embedded.sparse[0, 0, 0], position(encoder, 3, 60) + foreground)
    torch.testing.assert_close(embedded.sparse[0, 0, 1], position(encoder, 10, 20) + background)
    torch.testing.assert_close(embedded.sparse[0, 0, 2], encoder.not_a_point_embed.weight[0])
    assert embedded.present.tolist() == [[[True, True, True]]]


def test_boxes_are_two_corners_and_have_no_padding_token(encoder):
    embedded = encoder(Prompts(boxes=torch.tensor([[[1.0, 2.0, 30.0, 40.0]]])))
    top_left, bottom_right = (encoder.point_embeddings[i].weight[0] for i in (2, 3))
    expected = torch.stack([position(encoder, 1, 2) + top_left, position(encoder, 30, 40) + bottom_right])
    torch.testing.assert_close(embedded.sparse[0, 0], expected)
    assert embedded.present.all()


def test_padding_token_stands_once_for_objects_that_have_points_and_no_box(encoder):
    labels = torch.tensor([[[1, 0], [1, ABSENT], [ABSENT, ABSENT], [1, 0], [ABSENT, ABSENT]]])
    prompts = Prompts(
        points=torch.rand(1, 5, 2, 2) * IMAGE_SIZE,
        labels=labels,
        boxes=torch.rand(1, 5, 4) * IMAGE_SIZE,
        has_box=torch.tensor([[False, False, False, True, True]]),
    )
    embedded = encoder(prompts)
    is_padding = (embedded.sparse == encoder.not_a_point_embed.weight[0]).all(dim=-1) & embedded.present
    assert is_padding.sum(dim=-1).tolist() == [[1, 1, 0, 0, 0]]
    assert embedded.present.sum(dim=-1).tolist() == [[3, 2, 0, 4, 2]]


def test_absent_prompts_leave_zeros_whatever_they_hold(encoder):
    labels = torch.tensor([[[ABSENT, ABSENT]]])
    has_box = torch.tensor([[False]])
    for value in (0.0, 1e6, float("nan")):
        points, boxes = torch.full((1, 1, 2, 2), value), torch.full((1, 1, 4), value)
        embedded = encoder(Prompts(points=points, labels=labels, boxes=boxes, has_box=has_box))
        assert not embedded.present.any()
        assert torch.equal(embedded.sparse, torch.zeros_like(embedded.sparse))


def test_explicit_not_a_point_label_is_a_token_without_position(encoder):
    prompts = Prompts(points=torch.tensor([[[[5.0, 6.0]]]]), labels=torch.tensor([[[NOT_A_POINT]]]))
    embedded = encoder(prompts)
    torch.testing.assert_close(embedded.sparse[0, 0, 0], encoder.not_a_point_embed.weight[0])
    assert embedded.present[0, 0, 0]


def test_zero_points_are_no_points(encoder):
    prompts = Prompts(points=torch.zeros(2, 3, 0, 2), labels=torch.zeros(2, 3, 0, dtype=torch.int64))
    assert not encoder(prompts).present.any()


def test_mask_prompt_is_the_downscaled_mask_of_each_object(encoder):
    masks = torch.randn(2, 3, 4 * GRID, 4 * GRID)
    dense = encoder(Prompts(masks=masks)).dense.whole()
    assert dense.shape == (2, 3, GRID * GRID, WIDTH)
    expected = encoder.mask_downscaling(masks[1, 2][None, None])[0]  # (C, h, w)
    torch.testing.assert_close(dense[1, 2], expected.flatten(1).T)


def test_mask_prompt_alone_gives_no_tokens(encoder):
    embedded = encoder(Prompts(masks=torch.randn(2, 3, 4 * GRID, 4 * GRID)))
    assert embedded.sparse.shape == (2, 3, 0, WIDTH)
    assert embedded.present.shape == (2, 3, 0)


def test_objects_without_a_mask_get_the_no_mask_embedding(encoder):
    masks = torch.randn(1, 2, 4 * GRID, 4 * GRID)
    dense = encoder(Prompts(masks=masks, has_mask=torch.tensor([[True, False]]))).dense.whole()
    no_mask = encoder.no_mask_embed.weight[0].expand(GRID * GRID, WIDTH)
    assert torch.equal(dense[0, 1], no_mask)
    assert not torch.equal(dense[0, 0], no_mask)
    without = encoder(Prompts(boxes=torch.zeros(1, 2, 4))).dense
    assert without.small is None and without.offset.shape == (1, 1, 1, WIDTH)  # once for all objects
    assert torch.equal(without.offset[0, 0, 0], encoder.no_mask_embed.weight[0])


def test_masks_of_another_resolution_are_refused(encoder):
    with pytest.raises(ValueError, match="mask prompts of 16x16 for a model of image size 64, but got 64x64"):
        encoder(Prompts(masks=torch.zeros(1, 1, 64, 64)))


def test_image_positions_are_those_of_a_point_at_each_cells_centre(encoder):
    image_pe = encoder.image_pe()
    assert image_pe.shape == (WIDTH, GRID, GRID)
    centre_of_a_cell = (2 * 16 + 8 - 0.5, 16 + 8 - 0.5)  # pixel index of column 2, row 1
    torch.testing.assert_close(image_pe[:, 1, 2], position(encoder, *centre_of_a_cell))
