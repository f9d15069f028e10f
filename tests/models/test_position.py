from __future__ import annotations

import math

import pytest
import torch

from sam_ft.models.position import FourierPosition, relative_position_bias


def test_position_is_sine_and_cosine_of_the_projected_coordinates():
    layer = FourierPosition(4)
    layer.positional_encoding_gaussian_matrix.copy_(torch.tensor([[1.0, 0.5], [0.0, 2.0]]))
    x, y = 0.75, 0.6
    u, v = 2 * x - 1, 2 * y - 1
    angles = [2 * math.pi * u, 2 * math.pi * (0.5 * u + 2 * v)]
    expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    torch.testing.assert_close(layer(torch.tensor([x, y])), torch.tensor(expected))


def test_grid_holds_the_positions_of_the_centres_of_its_cells():
    layer = FourierPosition(8)
    grid = layer.grid((3, 5))
    assert grid.shape == (8, 3, 5)
    for row in range(3):
        for column in range(5):
            centre = torch.tensor([(column + 0.5) / 5, (row + 0.5) / 3])
            torch.testing.assert_close(grid[:, row, column], layer(centre))


def test_positions_stay_exact_under_autocast():
    layer = FourierPosition(64)
    points = torch.rand(100, 2)
    with torch.autocast("cpu", torch.bfloat16):
        positions = layer(points)
    assert torch.equal(positions, layer(points))


def test_positions_are_saved_with_the_model_but_never_trained():
    layer = FourierPosition(8)
    assert list(layer.state_dict()) == ["positional_encoding_gaussian_matrix"]
    assert not list(layer.parameters())


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (1, 5)])
def test_relative_position_bias_equals_the_loop_over_queries_and_keys(size):
    height, width = size
    queries = torch.randn(2, 3, height * width, 4)
    rel_pos_h, rel_pos_w = torch.randn(2 * height - 1, 4), torch.randn(2 * width - 1, 4)
    bias = relative_position_bias(queries, rel_pos_h, rel_pos_w, size)
    assert bias.shape == (2, 3, height * width, height * width)
    for i in range(height * width):
        for j in range(height * width):
            rows, columns = i // width - j // width, i % width - j % width
            table = rel_pos_h[rows + height - 1] + rel_pos_w[columns + width - 1]
            torch.testing.assert_close(bias[:, :, i, j], queries[:, :, i] @ table)


def test_relative_position_bias_refuses_tables_of_another_length():
    with pytest.raises(ValueError, match="tables of 5 and 7 rows for a grid of \\(3, 4\\), but got 5 and 5"):
        relative_position_bias(torch.randn(1, 1, 12, 2), torch.randn(5, 2), torch.randn(5, 2), (3, 4))
