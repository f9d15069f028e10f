from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sam_ft.masks.areas import mask_areas


@pytest.mark.parametrize("shape", [(3, 4), (5, 3, 4), (2, 5, 7, 3), (0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_areas_are_the_sums_over_the_pixels(shape: tuple[int, ...]) -> None:
    masks = torch.rand(shape) < 0.4
    areas = mask_areas(masks)
    assert areas.dtype == torch.int64 and torch.equal(areas, masks.sum(dim=(-2, -1)))


def test_views_are_counted_as_they_are_seen() -> None:
    masks = torch.rand(4, 9, 11) < 0.5
    seen = masks.transpose(1, 2)[1:3, 2:7, ::2]
    assert torch.equal(mask_areas(seen), seen.sum(dim=(-2, -1)))
    expanded = masks[:1].expand(3, -1, -1)
    assert torch.equal(mask_areas(expanded), expanded.sum(dim=(-2, -1)))


def test_imagined_masks_have_areas_of_the_right_shape() -> None:
    """The estimate of a step's memory runs on tensors without content."""
    with FakeTensorMode():
        areas = mask_areas(torch.zeros(2, 3, 4, 5, dtype=torch.bool))
    assert areas.shape == (2, 3) and areas.dtype == torch.int64
