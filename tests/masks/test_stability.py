from __future__ import annotations

import pytest
import torch

from sam_ft.masks.stability import stability_score


def test_the_score_is_the_iou_of_the_masks_above_and_below_the_threshold() -> None:
    """Two pixels above +1; five above -1."""
    logits = torch.tensor([[2.0, 1.5, 1.0], [0.0, -0.5, -1.0], [-3.0, -9.0, -2.0]])
    assert stability_score(logits).item() == pytest.approx(2 / 5)
    assert stability_score(logits, offset=0.2).item() == pytest.approx(3 / 4)
    assert stability_score(logits, threshold=1.2, offset=0.5).item() == pytest.approx(1 / 3)


def test_a_batch_is_scored_as_its_masks_alone() -> None:
    logits = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    scores = stability_score(logits)
    assert scores.shape == (2, 3) and len(set(scores.flatten().tolist())) > 3
    for index in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        mask = logits[tuple(index)]
        expected = ((mask > 1) & (mask > -1)).sum() / ((mask > 1) | (mask > -1)).sum()
        assert scores[tuple(index)].item() == pytest.approx(expected.item())


def test_a_sharp_mask_is_perfectly_stable_and_a_smeared_one_is_not() -> None:
    sharp = torch.full((4, 4), -20.0)
    sharp[1:3, 1:3] = 20.0
    assert stability_score(sharp).item() == 1
    assert stability_score(torch.full((4, 4), 0.5)).item() == 0  # nowhere above +1, everywhere above -1


def test_without_a_pixel_above_the_lower_threshold_the_score_is_zero() -> None:
    assert stability_score(torch.full((3, 4, 4), -1.0)).tolist() == [0, 0, 0]
    assert stability_score(torch.zeros(2, 0, 4)).tolist() == [0, 0]
    assert stability_score(torch.zeros(0, 4, 4)).shape == (0,)


def test_without_an_offset_every_mask_with_a_pixel_is_stable() -> None:
    logits = torch.stack([torch.eye(3), -torch.ones(3, 3)])
    assert stability_score(logits, offset=0.0).tolist() == [1, 0]


@pytest.mark.parametrize(
    "logits, offset", [(torch.ones(3, 3, dtype=torch.bool), 1.0), (torch.ones(3), 1.0), (torch.ones(3, 3), -1.0)]
)
def test_what_is_no_logits_or_no_offset_is_refused(logits: torch.Tensor, offset: float) -> None:
    with pytest.raises(ValueError, match="Expected"):
        stability_score(logits, offset=offset)
