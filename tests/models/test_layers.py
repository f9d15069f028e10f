from __future__ import annotations

import torch
from torch import nn

from sam_ft.models.layers import FeedForward, HeadMLP, LayerNorm2d


def test_layer_norm_2d_normalises_the_channels_of_each_position():
    x = 3 * torch.randn(2, 6, 4, 5) + 7
    normalised = LayerNorm2d(6)(x)
    assert normalised.shape == x.shape
    torch.testing.assert_close(normalised.mean(dim=1), torch.zeros(2, 4, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.var(dim=1, correction=0), torch.ones(2, 4, 5), atol=1e-4, rtol=0)


def test_layer_norm_2d_equals_the_formula_of_segment_anything(redraw):
    layer = redraw(LayerNorm2d(6))
    x = torch.randn(2, 6, 4, 5)
    centred = x - x.mean(dim=1, keepdim=True)
    expected = centred / torch.sqrt(centred.square().mean(dim=1, keepdim=True) + 1e-6)
    expected = layer.weight[:, None, None] * expected + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected)


def test_layer_norm_2d_does_the_same_with_channels_last(redraw):
    layer = redraw(LayerNorm2d(6))
    x = torch.randn(2, 6, 4, 5)
    torch.testing.assert_close(layer.channels_last(x.permute(0, 2, 3, 1)), layer(x).permute(0, 2, 3, 1))


def test_feed_forward_has_its_activation_between_its_two_maps(redraw):
    layer = redraw(FeedForward(4, 9, activation=nn.ReLU()))
    x = torch.randn(3, 2, 4)
    hidden = (x @ layer.lin1.weight.T + layer.lin1.bias).clamp(min=0)  # (3, 2, 9)
    torch.testing.assert_close(layer(x), hidden @ layer.lin2.weight.T + layer.lin2.bias)


def test_head_mlp_has_relu_between_its_layers_and_none_after_the_last():
    layer = HeadMLP(2, 2, 1)
    assert [tuple(linear.weight.shape) for linear in layer.layers] == [(2, 2), (1, 2)]
    with torch.no_grad():
        layer.layers[0].weight.copy_(torch.eye(2))
        layer.layers[1].weight.copy_(torch.tensor([[-1.0, -1.0]]))
        for linear in layer.layers:
            linear.bias.zero_()
    # (3, -5) -> (3, 0) -> -3: the first layer's negative value is cut, the last layer's is not
    torch.testing.assert_close(layer(torch.tensor([[3.0, -5.0]])), torch.tensor([[-3.0]]))
