from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sam_ft.inference.proposals import Filtered, Proposals, point_grid, propose, select
from sam_ft.masks.nms import box_nms
from sam_ft.masks.stability import stability_score
from sam_ft.models.sam.variants import build_model
from sam_ft.transforms import Frame
from sam_ft.types import ImageEmbedding

SQUARE = Frame((64, 64), 64)
WIDE = Frame((40, 80), 64)  # 32 x 64 pixels of the frame
EMBEDDING = ImageEmbedding(features=torch.zeros(1, 1, 16, 16))


def made(boxes: list[tuple[int, int, int, int]], iou: list[float], stability: list[float]) -> Proposals:
    """Proposals of filled boxes in a frame of 16 pixels; a box of Nones is an empty mask."""
    logits = torch.full((len(boxes), 16, 16), -5.0)
    for mask, (x0, y0, x1, y1) in zip(logits, boxes, strict=True):
        mask[y0 : y1 + 1, x0 : x1 + 1] = 5.0
    return Proposals(
        frame=Frame((16, 16), 16),
        points_xy=torch.zeros(len(boxes), 2),
        low_res_logits=logits,
        iou_predictions=torch.tensor(iou),
        stability_scores=torch.tensor(stability),
        boxes_xyxy=torch.tensor(boxes).float(),
    )


def test_points_are_the_middles_of_equal_parts_of_the_image() -> None:
    assert point_grid(SQUARE, 1).tolist() == [[31.5, 31.5]]
    grid = point_grid(WIDE, 2)
    assert grid.tolist() == [[15.5, 7.5], [47.5, 7.5], [15.5, 23.5], [47.5, 23.5]]
    assert WIDE.points_to_source(grid)[0].tolist() == [19.5, 9.5]  # the middle of the first 40 x 20 pixels


def test_three_masks_are_proposed_at_every_point(square_model: Callable[..., Any]) -> None:
    model = square_model()
    proposals = propose(model, EMBEDDING, SQUARE, points_per_side=3, points_per_batch=4)
    assert model.points_per_call == [4, 4, 1]
    assert proposals.low_res_logits.shape == (27, 16, 16)
    assert proposals.points_xy[::3].tolist() == point_grid(SQUARE, 3).tolist()
    assert torch.equal(proposals.points_xy[0], proposals.points_xy[2])
    middle = slice(12, 15)  # of the fifth point
    assert proposals.masks[middle].flatten(1).sum(dim=1).tolist() == [4, 16, 36]
    assert proposals.boxes_xyxy[middle].tolist() == [[28, 28, 35, 35], [24, 24, 39, 39], [20, 20, 43, 43]]
    torch.testing.assert_close(proposals.iou_predictions[middle], torch.tensor([0.7063, 0.9063, 0.5063]))
    torch.testing.assert_close(proposals.stability_scores, stability_score(proposals.low_res_logits))


def test_the_number_of_points_in_a_call_changes_nothing() -> None:
    torch.manual_seed(0)
    model = build_model("vit_tiny", image_size=64).eval()
    with torch.no_grad():
        embedding = model.encode_image(torch.rand(1, 3, 64, 64))
    whole, split = (propose(model, embedding, SQUARE, points_per_side=3, points_per_batch=n) for n in (64, 2))
    for name in ("points_xy", "low_res_logits", "iou_predictions", "stability_scores", "boxes_xyxy"):
        torch.testing.assert_close(getattr(whole, name), getattr(split, name), atol=1e-5, rtol=1e-5)


def test_what_lies_in_the_padding_is_no_part_of_a_mask(square_model: Callable[..., Any]) -> None:
    proposals = propose(square_model(), EMBEDDING, WIDE, points_per_side=4)
    assert not proposals.masks[:, 8:].any() and (proposals.low_res_logits[:, 8:] > 0).any()
    assert proposals.boxes_xyxy[:, 3].max() <= 31
    inside = proposals.low_res_logits[:, :8]
    torch.testing.assert_close(proposals.stability_scores, stability_score(inside))
    assert not torch.equal(stability_score(inside), stability_score(proposals.low_res_logits))


def test_filters_come_one_after_the_other_and_are_counted() -> None:
    boxes = [(0, 0, 7, 7), (0, 0, 7, 6), (9, 9, 9, 8), (9, 9, 12, 12), (9, 0, 12, 3), (0, 9, 4, 12)]
    proposals = made(boxes, [0.95, 0.97, 0.99, 0.88, 0.9, 0.89], [0.96, 0.95, 1.0, 1.0, 0.94, 1.0])
    selection = select(proposals)
    assert selection.indices.tolist() == [1, 5]  # the better of the overlapping two; 0.88 is not above 0.88
    assert selection.filtered == Filtered(6, empty=1, pred_iou=1, stability_score=1, overlap=1, selected=2)
    assert (selection.filtered + selection.filtered).overlap == 2


def test_a_dropped_proposal_drops_no_other() -> None:
    """NMS comes after the thresholds, as in SAM: the unstable best one does not take the good one with it."""
    proposals = made([(0, 0, 7, 7), (0, 0, 7, 7)], [0.99, 0.9], [0.5, 1.0])
    assert select(proposals).indices.tolist() == [1]


def test_thresholds_of_zero_remove_nothing_but_empty_masks() -> None:
    proposals = made([(0, 0, 3, 3), (5, 5, 8, 8), (9, 9, 9, 8)], [-0.5, 0.2, 0.9], [0.0, 0.1, 1.0])
    selection = select(proposals, pred_iou_thresh=0, stability_score_thresh=0)
    assert selection.indices.tolist() == [1, 0]
    assert select(proposals).indices.tolist() == []
    assert select(proposals).filtered == Filtered(3, 1, 2, 0, 0, 0)


def test_a_selection_is_the_same_as_filter_by_filter(square_model: Callable[..., Any]) -> None:
    proposals = propose(square_model(), EMBEDDING, SQUARE, points_per_side=12)
    kept = (proposals.iou_predictions > 0.702) & (proposals.stability_scores >= 0.4)
    rows: Tensor = kept.nonzero().flatten()
    order = box_nms(proposals.boxes_xyxy[rows], proposals.iou_predictions[rows], iou_threshold=0.2)
    selection = select(proposals, pred_iou_thresh=0.702, stability_score_thresh=0.4, box_nms_thresh=0.2)
    assert selection.indices.tolist() == rows[order].tolist()
    assert 0 < len(order) < len(rows) < len(kept)


def test_a_flat_logit_map_is_an_empty_mask_with_an_empty_box(square_model: Callable[..., Any]) -> None:
    model = square_model()
    decode = model.decode
    model.decode = lambda *args, **kwargs: replace(
        answer := decode(*args, **kwargs), low_res_logits=torch.full_like(answer.low_res_logits, -0.5)
    )
    proposals = propose(model, EMBEDDING, SQUARE, points_per_side=2)
    assert proposals.boxes_xyxy.tolist() == [[0, 0, 0, 0]] * 12
    assert select(proposals, pred_iou_thresh=0, stability_score_thresh=0).filtered.empty == 12


@pytest.mark.parametrize("points_per_side, points_per_batch, images", [(0, 64, 1), (2, 0, 1), (2, 64, 2)])
def test_what_cannot_be_proposed_is_refused(
    square_model: Callable[..., Any], points_per_side: int, points_per_batch: int, images: int
) -> None:
    embedding = ImageEmbedding(features=torch.zeros(images, 1, 16, 16))
    with pytest.raises(ValueError, match="Expected"):
        propose(square_model(), embedding, SQUARE, points_per_side=points_per_side, points_per_batch=points_per_batch)
