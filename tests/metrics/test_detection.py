from __future__ import annotations

import pytest
import torch

from sam_ft.metrics.detection import (
    IOU_THRESHOLDS,
    detection_accuracy,
    greedy_pairs,
    mask_ious,
    num_counted,
    overlapping_pairs,
)
from sam_ft.metrics.overlap import iou


def matched(ious: list[list[float]]) -> list[float]:
    return [value for value, _, _ in greedy_pairs(overlapping_pairs(torch.tensor(ious, dtype=torch.float64)))]


def test_every_mask_is_compared_with_every_object() -> None:
    masks, targets = (torch.rand(count, 6, 7, generator=torch.Generator().manual_seed(count)) > 0.6 for count in (5, 3))
    masks[0] = False
    targets[1] = False
    ious = mask_ious(masks, targets)
    expected = iou(masks[:, None], targets[None])
    expected[0, 1] = 0  # nothing and nothing is no match
    torch.testing.assert_close(ious, expected.double(), atol=1e-6, rtol=1e-6)
    assert mask_ious(masks[:0], targets).shape == (0, 3)
    assert mask_ious(masks, targets[:0]).shape == (5, 0)


@pytest.mark.parametrize("shared, at_thresholds", [(13, 0.4), (14, 0.5), (18, 0.9), (19, 1.0)])
def test_an_iou_of_exactly_a_threshold_reaches_it(shared: int, at_thresholds: float) -> None:
    target = torch.ones(1, 4, 5, dtype=torch.bool)
    mask = (torch.arange(20) < shared).view(1, 4, 5)
    hits = greedy_pairs(overlapping_pairs(mask_ious(mask, target)))
    assert detection_accuracy(hits, num_masks=1, num_objects=1) == pytest.approx(at_thresholds)


def test_masks_that_are_not_bool_or_of_other_sizes_are_refused() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    for targets in (torch.zeros(2, 4, 4), torch.zeros(2, 4, 5, dtype=torch.bool)):
        with pytest.raises(ValueError, match="Expected `masks`"):
            mask_ious(masks, targets)


def test_the_best_pair_is_matched_first_and_nobody_twice() -> None:
    assert matched([[0.9, 0.8], [0.85, 0.6]]) == [0.9, 0.6]
    assert matched([[0.9, 0.8], [0.85, 0.4]]) == [0.9]  # greedy: 0.8 and 0.85 would match both
    assert matched([[0.4], [0.49]]) == []


def test_the_pairs_above_a_threshold_are_the_matching_at_that_threshold() -> None:
    ious = torch.rand(12, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = greedy_pairs(overlapping_pairs(ious))
    for threshold in IOU_THRESHOLDS:
        alone = greedy_pairs(overlapping_pairs(ious, least=threshold))
        assert alone == [pair for pair in whole if pair[0] >= threshold]
        assert len(alone) > 0


def test_accuracy_is_hits_by_hits_misses_and_inventions_over_ten_thresholds() -> None:
    """0.5 counts at one threshold, 0.72 at five (0.5 to 0.7), 0.97 at all ten."""
    hits = [3, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    expected = sum(tp / (tp + (4 - tp) + (5 - tp)) for tp in hits) / 10
    assert detection_accuracy([(0.97, 0, 1), (0.72, 2, 0), (0.5, 1, 4)], num_masks=4, num_objects=5) == pytest.approx(
        expected
    )


def test_accuracy_without_masks_or_without_objects() -> None:
    assert detection_accuracy([], num_masks=0, num_objects=0) == 1
    assert detection_accuracy([], num_masks=0, num_objects=3) == 0
    assert detection_accuracy([], num_masks=3, num_objects=0) == 0
    assert detection_accuracy([(1.0, 0, 0), (1.0, 1, 1)], num_masks=2, num_objects=2) == 1


def test_an_excused_mask_counts_only_if_it_matches() -> None:
    excused = torch.tensor([True, False, True])
    assert num_counted([(0.9, 0, 0)], excused=excused) == 2
    assert num_counted([(0.9, 1, 0)], excused=excused) == 1
    assert num_counted([], excused=excused[:0]) == 0
