from __future__ import annotations

import numpy as np
import pytest
import torch

from sam_ft.evaluation.everything.truth_maps import ious_of, truth_maps
from sam_ft.types import Sample, blank_image


def sample_of(masks: np.ndarray, ignored: np.ndarray | None = None) -> Sample:
    return Sample(
        image=blank_image(*masks.shape[1:]),
        masks=torch.from_numpy(masks),
        class_names=("object",) * len(masks),
        name="a",
        ignored=None if ignored is None else torch.from_numpy(ignored),
    )


@pytest.mark.parametrize("share", [0.02, 0.5])
@pytest.mark.parametrize("num_objects", [0, 1, 9])
def test_shared_pixels_are_those_of_brute_force_though_objects_overlap(num_objects: int, share: float) -> None:
    random = np.random.default_rng(0)
    masks = random.random((num_objects, 17, 23)) < share
    mask = random.random((17, 23)) < 0.4
    segments = random.integers(0, 4, (17, 23)).astype(np.int32)
    truth = truth_maps(sample_of(masks))
    assert truth.areas.tolist() == [int(each.sum()) for each in masks]
    assert truth.shared(mask).tolist() == [int((each & mask).sum()) for each in masks]
    expected = [[int((each & (segments == number)).sum()) for each in masks] for number in (1, 2, 3)]
    assert truth.shared_by_segments(segments, num_segments=3).tolist() == expected


def test_what_is_ignored_is_where_no_object_is() -> None:
    masks = np.zeros((1, 4, 4), dtype=bool)
    masks[0, 0] = True
    truth = truth_maps(sample_of(masks, np.ones((4, 4), dtype=bool)))
    assert truth.ignored.sum() == 12 and truth.num_ignored(np.ones((4, 4), dtype=bool)) == 12
    assert truth_maps(sample_of(masks)).num_ignored(np.ones((4, 4), dtype=bool)) == 0


def test_ious_are_exact_and_those_of_nothing_are_zero() -> None:
    ious = ious_of(np.array([[13, 0], [0, 0]]), np.array([13, 0]), np.array([20, 0]))
    assert ious.tolist() == [[13 / 20, 0.0], [0.0, 0.0]]
