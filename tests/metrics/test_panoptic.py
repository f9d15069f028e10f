from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality

from sam_ft.metrics.panoptic import PanopticCounts, panoptic_counts

SIDE = 24
BACKGROUND, THING, UNKNOWN = 0, 1, 9


def random_maps(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments of a prediction and of the truth, which are alike, and what nobody knows."""
    truth = np.zeros((SIDE, SIDE), dtype=np.int64)
    for number in range(1, random.integers(1, 8)):
        (y, x), (height, width) = random.integers(0, SIDE, 2), random.integers(1, 10, 2)
        truth[y : y + height, x : x + width] = number
    predicted = np.roll(truth, tuple(random.integers(-1, 2, 2)), (0, 1))
    predicted[random.random(truth.shape) < 0.15] = 0
    y, x = random.integers(0, SIDE - 4, 2)
    predicted[y : y + 3, x : x + 3] = 20
    unknown = np.zeros(truth.shape, dtype=bool)
    unknown[: random.integers(1, 8), : random.integers(1, SIDE)] = True
    return predicted, truth, unknown


def tables(predicted: np.ndarray, truth: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoUs without what nobody knows, and which segments lie mostly there; by brute force."""
    segments = [predicted == number for number in np.unique(predicted) if number]
    objects = [part for number in np.unique(truth) if number and (part := (truth == number) & ~unknown).any()]
    ious = np.zeros((len(segments), len(objects)))
    for row, segment in enumerate(segments):
        for column, target in enumerate(objects):
            union = (segment & ~unknown) | target
            ious[row, column] = (segment & target).sum() / union.sum()
    return ious, np.array([(part & unknown).sum() > part.sum() / 2 for part in segments], dtype=bool)


def counts_of(predicted: np.ndarray, truth: np.ndarray, unknown: np.ndarray) -> PanopticCounts:
    ious, excused = tables(predicted, truth, unknown)
    return panoptic_counts(torch.from_numpy(ious), excused=torch.from_numpy(excused))


def of_torchmetrics(scenes: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[float]:
    metric = PanopticQuality({THING}, {BACKGROUND}, return_sq_and_rq=True, return_per_class=True)
    for predicted, truth, unknown in scenes:
        kinds = [np.where(part > 0, THING, BACKGROUND) for part in (predicted, truth)]
        kinds[1][unknown] = UNKNOWN
        first, second = (
            torch.from_numpy(np.stack([kind, np.where(kind == THING, part, 0)], axis=-1))[None]
            for kind, part in zip(kinds, (predicted, truth), strict=True)
        )
        metric.update(first, second)
    return metric.compute()[0].tolist()


def qualities(counts: PanopticCounts) -> list[float]:
    return [counts.panoptic_quality, counts.segmentation_quality, counts.recognition_quality]


@pytest.mark.reference
@pytest.mark.parametrize("with_unknown", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_qualities_are_those_of_torchmetrics(seed: int, with_unknown: bool) -> None:
    random = np.random.default_rng(seed)
    scenes = [random_maps(random) for _ in range(5)]
    scenes = [(predicted, truth, unknown & with_unknown) for predicted, truth, unknown in scenes]
    counts = reduce(add, (counts_of(*scene) for scene in scenes))
    assert counts.true_positives and counts.false_positives and counts.false_negatives
    assert qualities(counts) == pytest.approx(of_torchmetrics(scenes), abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_counts_are_those_of_brute_force(seed: int) -> None:
    predicted, truth, unknown = random_maps(np.random.default_rng(seed))
    ious, excused = tables(predicted, truth, unknown)
    right = [(row, column) for row, column in np.ndindex(ious.shape) if ious[row, column] > 0.5]
    found, seen = {row for row, _ in right}, {column for _, column in right}
    counts = counts_of(predicted, truth, unknown)
    assert len(found) == len(seen) == len(right) == counts.true_positives
    assert counts.iou_sum == pytest.approx(sum(ious[place] for place in right))
    assert counts.false_positives == sum(row not in found and not excused[row] for row in range(len(ious)))
    assert counts.false_negatives == ious.shape[1] - len(seen)


def test_pq_by_hand() -> None:
    """Two of three objects found with IoU 0.6 and 0.8, and one segment too many: exactly half does not count."""
    ious = torch.tensor([[0.6, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 0.5]], dtype=torch.float64)
    counts = panoptic_counts(ious)
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (2, 1, 1)
    assert qualities(counts) == pytest.approx([1.4 / 3, 0.7, 2 / 3])


def test_a_segment_finds_one_of_two_objects_that_are_the_same() -> None:
    counts = panoptic_counts(torch.tensor([[0.7, 0.9]]))
    assert (counts.true_positives, counts.false_negatives) == (1, 1)
    assert counts.iou_sum == pytest.approx(0.9)


@pytest.mark.parametrize(
    "num_segments, num_objects, expected", [(0, 0, [1, 1, 1]), (0, 2, [0, 0, 0]), (2, 0, [0, 0, 0])]
)
def test_without_segments_or_without_objects(num_segments: int, num_objects: int, expected: list[float]) -> None:
    assert qualities(panoptic_counts(torch.zeros(num_segments, num_objects))) == expected
