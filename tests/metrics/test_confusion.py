from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from sam_ft.metrics.confusion import class_ious, confusion_matrix, mean_iou, pixel_accuracy

K = 6


@pytest.fixture
def maps():
    """Class 4 is only predicted, class 5 is nowhere, some pixels are unknown."""
    truth, predicted = torch.randint(4, (3, 40, 50)), torch.randint(5, (3, 40, 50))
    truth[torch.rand(truth.shape) < 0.2] = -1
    return predicted, truth


@pytest.mark.reference
def test_ious_agree_with_torchmetrics(maps):
    predicted, truth = maps
    confusion = confusion_matrix(predicted, truth, num_classes=K)
    assert torch.equal(confusion, multiclass_confusion_matrix(predicted, truth, K, ignore_index=-1))
    expected = multiclass_jaccard_index(predicted, truth, K, average=None, ignore_index=-1).double()
    torch.testing.assert_close(class_ious(confusion)[:5], expected[:5], atol=1e-6, rtol=0)
    assert mean_iou(confusion) == pytest.approx(expected[:4].mean().item(), abs=1e-6)


def test_ious_agree_with_counting(maps):
    predicted, truth = maps
    ious = class_ious(confusion_matrix(predicted, truth, num_classes=K))
    known = truth >= 0
    for k in range(5):
        here, there = (predicted == k) & known, truth == k
        assert ious[k].item() == pytest.approx(((here & there).sum() / (here | there).sum()).item(), abs=1e-6)
    assert ious[4] == 0 and math.isnan(ious[5])


def test_matrices_of_images_add_up_and_accuracy_is_the_diagonal(maps):
    predicted, truth = maps
    whole = confusion_matrix(predicted, truth, num_classes=K)
    assert torch.equal(whole, sum(confusion_matrix(*each, num_classes=K) for each in zip(*maps, strict=True)))
    known = truth >= 0
    assert pixel_accuracy(whole) == pytest.approx((predicted == truth)[known].double().mean().item())


def test_a_class_that_is_only_predicted_has_no_part_in_the_mean():
    truth, predicted = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 1])
    assert mean_iou(confusion_matrix(predicted, truth, num_classes=3)) == pytest.approx((0.5 + 1) / 2)


def test_nothing_to_measure_and_nonsense_are_refused():
    nothing = confusion_matrix(torch.tensor([0]), torch.tensor([-1]), num_classes=2)
    for measure in (mean_iou, pixel_accuracy):
        with pytest.raises(ValueError, match="at least one pixel"):
            measure(nothing)
    with pytest.raises(ValueError, match="of one shape"):
        confusion_matrix(torch.zeros(2).long(), torch.zeros(3).long(), num_classes=2)
    with pytest.raises(ValueError, match="`truth` of 0 to 1, but got 0 to 2"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 2]), num_classes=2)
