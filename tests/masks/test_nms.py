from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sam_ft.masks.nms import box_iou, box_nms, suppression, survivors


def walk(boxes: list[list[float]], scores: list[float], threshold: float) -> list[int]:
    """The textbook's loop."""
    stay: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        if all(overlap(boxes[index], boxes[better]) <= threshold for better in stay):
            stay.append(index)
    return stay


def overlap(a: list[float], b: list[float]) -> float:
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


def random_boxes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Whole numbers, so that some boxes are equal and some have no area; scores with ties."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 12, (count, 2), generator=generator)
    boxes = torch.cat([corners, corners + torch.randint(0, 12, (count, 2), generator=generator)], dim=1).double()
    return boxes, torch.randint(0, 20, (count,), generator=generator).double()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 60, 200])
def test_what_stays_is_what_the_walk_over_the_boxes_keeps(count: int, threshold: float) -> None:
    for seed in range(5):
        boxes, scores = random_boxes(count, seed)
        assert box_nms(boxes, scores, iou_threshold=threshold).tolist() == walk(
            boxes.tolist(), scores.tolist(), threshold
        )


def test_a_box_that_a_dropped_box_overlaps_stays() -> None:
    """1 drops 2, which would have dropped 3, which would have dropped 4: a chain of decisions."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10], [9, 0, 19, 10]])
    assert box_nms(boxes, torch.tensor([4.0, 3.0, 2.0, 1.0]), iou_threshold=0.5).tolist() == [0, 2]


def test_the_best_comes_first_and_of_equals_the_first() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [20, 0, 24, 4], [0, 0, 4, 4]])
    assert box_nms(boxes, torch.tensor([0.5, 0.9, 0.5]), iou_threshold=0.7).tolist() == [1, 0]


def test_several_choices_at_once_are_each_as_alone() -> None:
    boxes, scores = random_boxes(80, 0)
    suppresses = suppression(boxes[scores.argsort(descending=True, stable=True)], iou_threshold=0.4)
    eligible = torch.rand(9, 80, generator=torch.Generator().manual_seed(1)) > 0.5
    together = survivors(eligible, suppresses)
    for chosen, stay in zip(eligible, together, strict=True):
        assert torch.equal(survivors(chosen, suppresses), stay)
        assert not (stay & ~chosen).any() and stay.sum() < chosen.sum()


def test_overlap_is_area_shared_by_area_covered() -> None:
    first = torch.tensor([[0.0, 0, 4, 4], [1, 1, 1, 5]])
    second = torch.tensor([[2.0, 0, 6, 4], [0, 0, 4, 4], [10, 10, 12, 12], [1, 1, 1, 5]])
    expected = torch.tensor([[1 / 3, 1, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(box_iou(first, second), expected)


@pytest.mark.parametrize("shapes", [((3, 4), (2,)), ((3, 5), (3,)), ((4,), (4,))])
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="Expected `boxes_xyxy`"):
        box_nms(torch.zeros(shapes[0]), torch.zeros(shapes[1]), iou_threshold=0.5)
