"""Average precision of resamples against images that are really there several times."""

from __future__ import annotations

import pytest
import torch

from sam_ft.metrics.average_precision import Matches, precision_curves
from sam_ft.metrics.bootstrap import draws
from sam_ft.metrics.detection import IOU_THRESHOLDS
from sam_ft.metrics.resampled_precision import resampled_precisions


def random_image(generator: torch.Generator, *, num_masks: int, num_objects: int) -> Matches:
    """Masks of which the better ones are more often right, fewer at higher thresholds; some are excused."""
    scores = torch.rand(num_masks, generator=generator).sort(descending=True).values
    ious = (scores + 0.4 * torch.rand(num_masks, generator=generator)).clamp(max=1)
    hits = ious >= torch.tensor(IOU_THRESHOLDS)[:, None]
    hits &= hits.cumsum(dim=1) <= num_objects
    excused = ~hits & (torch.rand(hits.shape, generator=generator) < 0.2)
    return Matches(scores, hits, excused, num_objects)


@pytest.mark.parametrize("max_detections", [100, 4])
def test_an_image_drawn_twice_counts_as_two(max_detections: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = [random_image(generator, num_masks=n % 9, num_objects=n % 5) for n in range(13)]
    drawn = list(draws(13, num_resamples=40))
    found = resampled_precisions(images, drawn, max_detections=max_detections)
    assert found.shape == (40, len(IOU_THRESHOLDS)) and 0 < found.mean() < 1
    for times, own in zip(torch.cat(drawn).tolist(), found, strict=True):
        several = [image for image, count in zip(images, times, strict=True) for _ in range(int(count))]
        curves = precision_curves(several, max_detections=max_detections)
        assert curves is not None
        torch.testing.assert_close(own, curves.mean(dim=1), rtol=0, atol=1e-9)


def test_the_images_as_they_are_have_their_own_precision() -> None:
    generator = torch.Generator().manual_seed(1)
    images = [random_image(generator, num_masks=5, num_objects=3) for _ in range(6)]
    curves = precision_curves(images)
    assert curves is not None
    torch.testing.assert_close(resampled_precisions(images, [torch.ones(1, 6).double()])[0], curves.mean(dim=1))


def test_without_an_object_there_is_none() -> None:
    generator = torch.Generator().manual_seed(2)
    images = [random_image(generator, num_masks=2, num_objects=count) for count in (0, 2)]
    found = resampled_precisions(images, [torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)])
    assert found[0].isnan().all() and not found[1].isnan().any()
