from __future__ import annotations

import pytest
import torch

from sam_ft.models import windows


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (7, 8), (5, 9), (1, 1), (3, 3)])
@pytest.mark.parametrize("window_size", [1, 4])
def test_merge_undoes_partition_whether_or_not_the_windows_fit(size, window_size):
    x = torch.randn(2, *size, 3)
    assert torch.equal(windows.merge(windows.partition(x, window_size), size), x)


def test_partition_takes_windows_row_by_row_of_each_image():
    x = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    cut = windows.partition(x, 2)
    assert cut.shape == (2 * 2 * 3, 2, 2, 1)
    for image in range(2):
        for row in range(2):
            for column in range(3):
                expected = x[image, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert torch.equal(cut[image * 6 + row * 3 + column], expected)


def test_partition_pads_with_zeros_at_the_bottom_and_on_the_right():
    cut = windows.partition(torch.ones(1, 3, 5, 2), 4)
    assert cut.shape == (2, 4, 4, 2)
    expected = torch.zeros(2, 4, 4, 2)
    expected[0, :3] = 1
    expected[1, :3, :1] = 1
    assert torch.equal(cut, expected)


def test_partition_reads_maps_that_are_not_contiguous():
    x = torch.randn(2, 3, 8, 8).permute(0, 2, 3, 1)
    assert torch.equal(windows.partition(x, 4), windows.partition(x.contiguous(), 4))
