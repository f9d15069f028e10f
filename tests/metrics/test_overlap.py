from __future__ import annotations

import pytest
import torch
from monai.metrics import compute_dice, compute_iou
from torch import Tensor

from sam_ft.metrics.overlap import dice, iou


@pytest.fixture
def pairs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 9, 7, generator=generator) > 0.6, torch.rand(4, 3, 9, 7, generator=generator) > 0.4


def test_values_by_hand() -> None:
    masks = torch.tensor([[True, True, True, False]])
    targets = torch.tensor([[False, True, True, True]])
    assert iou(masks, targets).item() == 0.5
    assert dice(masks, targets).item() == pytest.approx(2 / 3)


def test_two_empty_masks_agree_and_one_does_not() -> None:
    empty, full = torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    for measure in (iou, dice):
        assert measure(empty, empty).item() == 1
        assert measure(empty, full).item() == 0
        assert measure(full, empty).item() == 0
        assert measure(full, full).item() == 1


def test_batched_equals_a_loop_over_pixels(pairs: tuple[Tensor, Tensor]) -> None:
    masks, targets = pairs
    batched = iou(masks, targets)
    for index in torch.cartesian_prod(torch.arange(4), torch.arange(3)).tolist():
        mask, target = masks[*index].flatten().tolist(), targets[*index].flatten().tolist()
        intersection = sum(m and t for m, t in zip(mask, target, strict=True))
        union = sum(m or t for m, t in zip(mask, target, strict=True))
        assert batched[*index].item() == pytest.approx(intersection / union)


def test_overlaps_equal_monai(pairs: tuple[Tensor, Tensor]) -> None:
    masks, targets = pairs
    torch.testing.assert_close(iou(masks, targets), compute_iou(masks, targets))
    torch.testing.assert_close(dice(masks, targets), compute_dice(masks, targets))


def test_leading_dimensions_broadcast(pairs: tuple[Tensor, Tensor]) -> None:
    masks, targets = pairs
    one_target = targets[:, :1]
    torch.testing.assert_close(iou(masks, one_target), iou(masks, one_target.expand_as(masks)))


def test_large_masks_do_not_lose_pixels() -> None:
    masks = torch.ones(2000, 2000, dtype=torch.bool)
    targets = masks.clone()
    targets[0, 0] = False
    assert iou(masks, targets).item() == pytest.approx(1 - 1 / 4e6, abs=1e-7)
    assert iou(masks, targets).item() < 1


@pytest.mark.parametrize("measure", [iou, dice])
def test_probabilities_and_other_sizes_are_refused(measure) -> None:
    with pytest.raises(ValueError, match="Expected `masks`"):
        measure(torch.rand(2, 2), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="same height and width"):
        measure(torch.ones(2, 2, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool))
