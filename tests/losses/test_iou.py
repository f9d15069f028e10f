from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import binary_jaccard_index

from sam_ft.losses.iou import iou_regression_loss


def test_squared_difference_by_hand():
    targets = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    logits = torch.tensor([[[2.0, -1.0], [3.0, -4.0]]])  # one of two right, one too many: IoU 1 / 3
    loss = iou_regression_loss(torch.tensor([0.5]), logits, targets)
    torch.testing.assert_close(loss, torch.tensor([(0.5 - 1 / 3) ** 2]))


def test_half_a_pixel_counts_as_the_objects_and_a_logit_of_zero_does_not():
    targets = torch.tensor([[0.5, 0.49], [0.0, 1.0]])
    logits = torch.tensor([[1.0, -1.0], [0.0, 1.0]])
    assert iou_regression_loss(torch.tensor(1.0), logits, targets).item() == 0


@pytest.mark.reference
def test_actual_iou_is_that_of_torchmetrics():
    logits, targets = torch.randn(5, 12, 12), (torch.rand(5, 12, 12) < 0.4).float()
    loss = iou_regression_loss(torch.zeros(5), logits, targets)
    expected = torch.stack([binary_jaccard_index(x.sigmoid(), y.int()) for x, y in zip(logits, targets, strict=True)])
    torch.testing.assert_close(loss, expected**2)


def test_gradient_reaches_the_prediction_and_not_the_logits():
    logits, targets = torch.randn(3, 4, 4, requires_grad=True), torch.ones(3, 4, 4)
    predictions = torch.full((3,), 2.0, requires_grad=True)
    loss = iou_regression_loss(predictions, logits, targets)
    loss.sum().backward()
    assert logits.grad is None
    assert (predictions.grad > 0).all()


def test_empty_prediction_of_an_empty_object_is_right():
    assert iou_regression_loss(torch.ones(1), torch.full((1, 3, 3), -1.0), torch.zeros(1, 3, 3)).item() == 0
