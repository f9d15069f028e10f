from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sam_ft.checkpoints import load_model
from sam_ft.inference.candidates import Candidates, Thresholds, candidates, find
from sam_ft.inference.proposals import Filtered, propose, select
from sam_ft.metrics.detection import detection_accuracy, greedy_pairs, mask_ious, overlapping_pairs
from sam_ft.transforms import Frame
from sam_ft.types import ImageEmbedding, MaskPrediction, Prompts, Sample


class ThresholdModel:
    """Sees what is bright: at each point the bright square of 16 pixels there, or nothing but a corner."""

    image_size = 64

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        return ImageEmbedding(features=images[:, :1])

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, *, multimask_output: bool | None) -> MaskPrediction:
        assert prompts.points is not None
        bright = torch.nn.functional.avg_pool2d(embedding.features, 4)[0, 0] > 0  # (16, 16)
        logits = torch.full((1, prompts.points.shape[1], 3, 16, 16), -9.0)
        predicted = torch.full(logits.shape[:3], 0.2)
        for place, (x, y) in enumerate((prompts.points[0, :, 0] / 4).long().tolist()):
            x, y = x // 4 * 4, y // 4 * 4
            if bright[y, x]:
                logits[0, place, :, y : y + 4, x : x + 4] = 9.0
                predicted[0, place] = torch.tensor([0.6, 0.7, 0.5])
            else:
                logits[0, place, :, y, x] = 0.5
        return MaskPrediction(low_res_logits=logits, iou_predictions=predicted)


def squares(*corners: tuple[int, int], marked: int) -> Sample:
    """Bright squares of 16 pixels, of which the first `marked` are objects."""
    image = torch.zeros(64, 64, 3, dtype=torch.uint8)
    masks = torch.zeros(len(corners), 64, 64, dtype=torch.bool)
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[y : y + 16, x : x + 16] = True
        image[mask] = 255
    return Sample(image=image, masks=masks[:marked], class_names=("square",) * marked, name="squares")


def only(sample: Sample) -> Candidates:
    (found,) = candidates(ThresholdModel(), [sample], points_per_side=8)
    return found


def test_proposals_are_ranked_and_paired_with_the_objects_they_show() -> None:
    found = only(squares((0, 0), (32, 16), marked=2))
    assert (found.image, found.num_objects, len(found.iou_predictions)) == ("squares", 2, 192)
    assert found.iou_predictions.tolist() == sorted(found.iou_predictions.tolist(), reverse=True)
    assert len(found.pairs) == 2 * 4 * 3  # 4 points in each square, 3 masks at each
    assert {iou for iou, _, _ in found.pairs} == {1.0}


def test_the_right_thresholds_find_everything_and_nothing_else() -> None:
    image = only(squares((0, 0), (32, 16), marked=2))
    right = find(image, Thresholds(0.3, 0.9))
    assert right.score == 1
    assert right.filtered == Filtered(192, 0, pred_iou=168, stability_score=0, overlap=22, selected=2)


def test_a_mask_where_nobody_knows_what_there_is_is_neither_right_nor_wrong() -> None:
    """As the automatic protocol has it: more than half of it, and an object is known wherever it lies."""
    sample = squares((0, 0), (32, 16), marked=1)
    scores = {}
    for width in (0, 8, 9, 12, 16):
        unknown = torch.zeros(64, 64, dtype=torch.bool)
        unknown[:, 32 : 32 + width] = True
        unknown[:16, :16] = True  # where the object lies
        scores[width] = find(only(replace(sample, ignored=unknown)), Thresholds(0.3, 0.9)).score
    assert scores == {0: 0.5, 8: 0.5, 9: 0.5, 12: 1.0, 16: 1.0}  # a cell of 4 pixels counts if more than half does


@pytest.mark.parametrize("width", [9, 4])
def test_unknown_cells_make_no_mask_worse(width: int) -> None:
    """The mask is the object and what is unknown beside it, less or more than half of it."""
    sample = squares((0, 0), marked=1)
    masks, unknown = torch.zeros_like(sample.masks), torch.zeros(64, 64, dtype=torch.bool)
    masks[0, :16, :width] = True
    unknown[:16, width:16] = True
    image = only(replace(sample, masks=masks, ignored=unknown))
    assert find(image, Thresholds(0.3, 0.9)).score == 1


def test_the_default_thresholds_may_leave_nothing_and_tell_which_one_it_was() -> None:
    found = find(only(squares((0, 0), marked=1)), Thresholds())
    assert found.score == 0
    assert found.filtered == Filtered(192, 0, pred_iou=192, stability_score=0, overlap=0, selected=0)


def test_a_mask_of_something_unmarked_costs() -> None:
    assert find(only(squares((0, 0), (32, 16), marked=1)), Thresholds(0.3, 0.9)).score == pytest.approx(1 / 2)


def test_an_image_without_objects_is_right_if_nothing_is_found() -> None:
    image = only(squares(marked=0))
    assert find(image, Thresholds(0.3, 0.9)).score == 1
    assert find(image, Thresholds(0, 0)).score == 0


def test_an_object_smaller_than_a_cell_is_still_there() -> None:
    sample = squares((0, 0), marked=1)
    masks = torch.zeros_like(sample.masks)
    masks[0, 1, 1] = True  # a sixteenth of a cell
    image = only(replace(sample, masks=masks))
    assert image.num_objects == 1
    assert find(image, Thresholds(0.3, 0.9)).score == 0
    assert find(image, Thresholds(0.3, 0.9)).filtered.selected == 1


def test_what_is_found_is_what_a_selection_of_the_proposals_gives() -> None:
    """A real model on an image that is not square, step by step; two of its own masks are the truth."""
    model = load_model("vit_tiny_phantoms", image_size=128).train()
    image = torch.randint(0, 255, (40, 64, 3), dtype=torch.uint8)
    frame = Frame((40, 64), 128)
    with torch.inference_mode():
        embedding = model.eval().encode_image(frame.image_to_frame(image)[None])
        proposals = propose(model.train(), embedding, frame, points_per_side=6)
    middle = proposals.iou_predictions.median().item()
    chosen = select(proposals, pred_iou_thresh=middle, stability_score_thresh=0.5)
    masks = proposals.masks[chosen.indices[[0, 3]]]  # cells of 2 x 2 pixels
    source = masks[:, :20].repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    sample = Sample(image=image, masks=source, class_names=("a", "b"), name="wide")
    (found,) = candidates(model, [sample], points_per_side=6)
    assert model.training

    ious = mask_ious(proposals.masks[chosen.indices], masks)
    matched = greedy_pairs(overlapping_pairs(ious))
    score = detection_accuracy(matched, num_masks=len(chosen.indices), num_objects=2)
    assert [value for value, _, _ in matched[:2]] == [1, 1] and score > 0
    assert find(found, Thresholds(middle, 0.5)).score == pytest.approx(score)
    assert find(found, Thresholds(middle, 0.5)).filtered == chosen.filtered
    assert min(chosen.filtered.pred_iou, chosen.filtered.stability_score, chosen.filtered.overlap) > 0
