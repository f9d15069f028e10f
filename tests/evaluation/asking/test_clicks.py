from __future__ import annotations

import pytest
import torch

from sam_ft.evaluation.asking.clicks import next_click
from sam_ft.masks.distance import centre_point
from sam_ft.types import ABSENT, BACKGROUND, FOREGROUND


def square(*, top: int, left: int, size: int) -> torch.Tensor:
    mask = torch.zeros(20, 24, dtype=torch.bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_first_click_is_the_centre_of_the_object() -> None:
    target = square(top=3, left=10, size=5)
    point, label = next_click(torch.zeros_like(target), target)
    assert (point.tolist(), label.item()) == ([12, 5], FOREGROUND)


def test_the_larger_of_the_two_errors_is_clicked_with_its_label() -> None:
    target = square(top=2, left=2, size=9)
    masks = torch.stack(
        [
            square(top=2, left=2, size=9) | square(top=14, left=14, size=5),  # 5 x 5 too much
            square(top=2, left=2, size=9) & ~square(top=3, left=3, size=3),  # 3 x 3 too little
            (target & ~square(top=3, left=3, size=3)) | square(top=14, left=14, size=5),  # both
            (target & ~square(top=3, left=3, size=5)) | square(top=14, left=14, size=3),  # both
        ]
    )
    points, labels = next_click(masks, target.expand_as(masks))
    assert points.tolist() == [[16, 16], [4, 4], [16, 16], [5, 5]]
    assert labels.tolist() == [BACKGROUND, FOREGROUND, BACKGROUND, FOREGROUND]


def test_of_equal_errors_the_background_is_clicked() -> None:
    target = square(top=2, left=2, size=3)
    _, label = next_click(square(top=12, left=12, size=3), target)
    assert label == BACKGROUND


def test_without_error_there_is_no_click() -> None:
    target = square(top=2, left=2, size=3)
    assert next_click(target, target)[1] == ABSENT


def test_next_click_lies_in_the_error_region_and_is_its_deepest_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, targets = torch.rand(2, 50, 16, 13, generator=generator) > 0.5
    points, labels = next_click(masks, targets)
    assert set(labels.tolist()) == {FOREGROUND, BACKGROUND}
    for mask, target, (x, y), label in zip(masks, targets, points.long(), labels, strict=True):
        assert mask[y, x] != target[y, x]
        assert target[y, x] == (label == FOREGROUND)
        depth = centre_point(torch.stack([target & ~mask, mask & ~target]))[1]
        assert depth.max() == depth[0 if label == FOREGROUND else 1]


def test_batched_clicks_equal_clicks_one_by_one() -> None:
    masks, targets = torch.rand(2, 2, 3, 9, 9, generator=torch.Generator().manual_seed(1)) > 0.5
    points, labels = next_click(masks, targets)
    for index in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        point, label = next_click(masks[*index], targets[*index])
        assert (point.tolist(), label.item()) == (points[*index].tolist(), labels[*index].item())


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        next_click(torch.zeros(2, 3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool))
