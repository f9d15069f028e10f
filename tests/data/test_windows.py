from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_ft.data.windows import RandomWindow
from sam_ft.types import Sample


def sample_of(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (60, 80)) -> Sample:
    """Filled boxes (y0, x0, y1, x1) in an image whose pixels tell their place."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    image = torch.stack([rows, columns, torch.zeros_like(rows)], dim=-1).to(torch.uint8)
    return Sample(image=image, masks=masks, class_names=tuple(map(str, range(len(boxes)))), name="boxes")


def windows_of(sample: Sample, window: RandomWindow, *, count: int = 100) -> list[Sample]:
    return [window(sample, np.random.default_rng(seed)) for seed in range(count)]


def test_a_window_is_a_square_part_between_the_shortest_and_the_longest_side() -> None:
    parts = windows_of(sample_of((20, 20, 24, 24)), RandomWindow(sides=(0.1, 0.5)))
    sides = [part.image.shape[0] for part in parts]
    assert all(part.image.shape[0] == part.image.shape[1] for part in parts)
    assert min(sides) in (8, 9, 10) and max(sides) in (38, 39, 40)
    assert np.median(sides) < 24  # on a logarithmic scale; evenly it would be 24


def test_image_and_masks_are_cut_alike() -> None:
    sample = sample_of((10, 30, 20, 44), (40, 2, 50, 70))
    for part in windows_of(sample, RandomWindow(sides=(0.3, 1.0), least_visible=0.0)):
        y0, x0 = part.image[0, 0, :2].tolist()
        height, width = part.image.shape[:2]
        assert torch.equal(part.image, sample.image[y0 : y0 + height, x0 : x0 + width])
        for name, mask in zip(part.class_names, part.masks, strict=True):
            assert torch.equal(mask, sample.masks[int(name), y0 : y0 + height, x0 : x0 + width])


def test_ignored_pixels_are_cut_like_the_image() -> None:
    sample = sample_of((10, 30, 20, 44))
    sample = replace(sample, ignored=sample.image[..., 0] % 7 == 0)
    for part in windows_of(sample, RandomWindow(sides=(0.3, 1.0))):
        assert torch.equal(part.ignored, part.image[..., 0] % 7 == 0)


def test_a_whole_object_is_always_in_sight_where_the_window_is_large_enough() -> None:
    sample = sample_of((0, 70, 6, 80), (55, 0, 60, 4), (30, 30, 33, 39))
    seen = set()
    for part in windows_of(sample, RandomWindow(sides=(0.15, 0.2), least_visible=1.0)):
        assert len(part.masks) >= 1
        seen |= set(part.class_names)
    assert seen == {"0", "1", "2"}


def test_an_object_larger_than_the_window_is_seen_in_part_if_that_is_enough() -> None:
    sample = sample_of((0, 0, 60, 80))
    for part in windows_of(sample, RandomWindow(sides=(0.25, 0.25), least_visible=0.0), count=20):
        assert part.image.shape[:2] == (20, 20) and part.masks.all()
    assert all(len(part.masks) == 0 for part in windows_of(sample, RandomWindow(sides=(0.25, 0.25)), count=20))


def test_what_is_cut_down_too_far_is_left_out() -> None:
    sample = sample_of((20, 20, 30, 30), (20, 31, 30, 51))
    for part in windows_of(sample, RandomWindow(sides=(0.2, 0.4), least_visible=0.7)):
        for name, mask in zip(part.class_names, part.masks, strict=True):
            assert mask.sum() >= 0.7 * sample.masks[int(name)].sum()


def test_a_window_as_large_as_the_image_is_the_image() -> None:
    sample = sample_of((20, 20, 30, 30))
    part = RandomWindow(sides=(1.0, 1.0))(sample, np.random.default_rng(0))
    assert torch.equal(part.image, sample.image) and torch.equal(part.masks, sample.masks)


def test_an_image_without_objects_is_cut_anywhere() -> None:
    corners = {tuple(part.image[0, 0].tolist()) for part in windows_of(sample_of(), RandomWindow(sides=(0.2, 0.2)))}
    assert len(corners) > 80


@pytest.mark.parametrize(
    "sides", [(0.0, 0.5), (0.5, 0.2), (0.3,), (0.1, 0.2, 0.3), ("a", 1.0), (True, True), (20, 50), 0.5]
)
def test_sides_that_are_none_are_refused(sides: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="two rising shares"):
        RandomWindow(sides=sides)  # type: ignore[arg-type]
