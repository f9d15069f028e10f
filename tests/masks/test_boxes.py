from __future__ import annotations

import pytest
import torch

from sam_ft.masks.boxes import boxes_of_masks


def test_box_ends_at_the_last_pixel() -> None:
    mask = torch.zeros(6, 9, dtype=torch.bool)
    mask[2:4, 3:8] = True
    assert boxes_of_masks(mask).tolist() == [3, 2, 7, 3]


def test_a_single_pixel_has_a_box_without_extent() -> None:
    mask = torch.zeros(6, 9, dtype=torch.bool)
    mask[5, 8] = True
    assert boxes_of_masks(mask).tolist() == [8, 5, 8, 5]


def test_an_empty_mask_has_a_box_of_zeros() -> None:
    assert boxes_of_masks(torch.zeros(2, 4, 4, dtype=torch.bool)).tolist() == [[0, 0, 0, 0]] * 2
    assert boxes_of_masks(torch.zeros(0, 4, 4, dtype=torch.bool)).shape == (0, 4)


def test_boxes_of_random_masks_equal_the_extremes_of_their_pixels() -> None:
    masks = torch.rand(3, 5, 7, 11, generator=torch.Generator().manual_seed(0)) > 0.95
    boxes = boxes_of_masks(masks)
    assert boxes.shape == (3, 5, 4)
    for mask, box in zip(masks.flatten(0, 1), boxes.flatten(0, 1), strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        expected = [columns.min(), rows.min(), columns.max(), rows.max()] if len(rows) else [0, 0, 0, 0]
        assert box.tolist() == [float(edge) for edge in expected]


def test_what_is_not_bool_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected `masks`"):
        boxes_of_masks(torch.zeros(4, 4))
