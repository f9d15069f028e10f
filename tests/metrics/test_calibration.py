from __future__ import annotations

import pytest
import torch

from sam_ft.metrics.calibration import bin_sums, calibration, calibration_of


def test_bins_hold_the_means_of_their_masks() -> None:
    result = calibration(torch.tensor([0.1, 0.3, 0.6, 0.9]), torch.tensor([0.2, 0.2, 0.6, 0.5]), num_bins=2)
    low, high = result.bins
    assert (low.count, high.count) == (2, 2)
    assert (low.predicted, low.actual) == pytest.approx((0.2, 0.2))
    assert (high.predicted, high.actual) == pytest.approx((0.75, 0.55))
    assert result.error == pytest.approx(0.5 * 0.0 + 0.5 * 0.2)
    assert result.bias == pytest.approx(0.1)


def test_a_model_that_knows_is_without_error() -> None:
    actual = torch.rand(500, generator=torch.Generator().manual_seed(0))
    result = calibration(actual, actual)
    assert result.error == pytest.approx(0, abs=1e-6) and result.bias == pytest.approx(0, abs=1e-6)


def test_error_equals_the_definition_on_random_numbers() -> None:
    predicted, actual = torch.rand(2, 300, generator=torch.Generator().manual_seed(0)).unbind()
    expected = 0.0
    for low in range(10):
        here = (predicted * 10).floor() == low
        expected += float(here.sum() / 300 * (predicted[here].mean() - actual[here].mean()).abs())
    assert calibration(predicted, actual).error == pytest.approx(expected, abs=1e-6)


def test_predictions_outside_their_range_count_for_the_outermost_bins() -> None:
    result = calibration(torch.tensor([-0.2, 1.0, 1.3]), torch.tensor([0.0, 1.0, 1.0]))
    assert [each.count for each in result.bins] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("shapes", [((0,), (0,)), ((2,), (3,)), ((2, 1), (2, 1))])
def test_what_cannot_be_compared_is_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        calibration(*(torch.zeros(shape) for shape in shapes))


def test_sums_of_parts_added_up_are_the_whole() -> None:
    predicted, actual = torch.rand(2, 70, generator=torch.Generator().manual_seed(0)).unbind()
    parts = [bin_sums(predicted[part], actual[part]) for part in (slice(0, 9), slice(9, 9), slice(9, None))]
    together = calibration_of(torch.stack(parts).sum(dim=0))
    whole = calibration(predicted, actual)
    assert [each.count for each in together.bins] == [each.count for each in whole.bins]
    assert (together.error, together.bias) == pytest.approx((whole.error, whole.bias))
    assert parts[1].shape == (3, 10) and not parts[1].any()
