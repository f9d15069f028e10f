from __future__ import annotations

import pytest
import torch

from sam_ft.data.drawn import DrawnImages
from sam_ft.data.phantoms import Phantoms
from sam_ft.data.synthetic import Synthetic

pytestmark = pytest.mark.parametrize("drawn", [Phantoms, Synthetic])


def test_a_sample_follows_from_seed_and_index_alone(drawn: type[DrawnImages]) -> None:
    first, second = drawn(9, image_size=48, seed=3), drawn(5, image_size=48, seed=3)
    list(first)
    assert torch.equal(first[4].image, second[4].image) and torch.equal(first[4].masks, second[4].masks)
    assert not torch.equal(first[4].image, first[5].image)
    assert not torch.equal(first[4].image, drawn(5, image_size=48, seed=4)[4].image)


def test_parts_share_no_image(drawn: type[DrawnImages]) -> None:
    splits = drawn.splits(6, num_val=6, num_test=6, image_size=32)
    assert splits.test is not None
    images = [sample.image for part in (splits.train, splits.val, splits.test) for sample in part]
    assert not any(torch.equal(images[a], images[b]) for a in range(18) for b in range(a))
    assert drawn.splits(2, num_val=1).test is None


def test_an_index_out_of_range_and_numbers_too_small_are_refused(drawn: type[DrawnImages]) -> None:
    with pytest.raises(IndexError, match="from 0 to 2"):
        drawn(3)[3]
    with pytest.raises(ValueError, match="num_images"):
        drawn(0)
    with pytest.raises(ValueError, match="image_size"):
        drawn(3, image_size=16)
    with pytest.raises(ValueError, match="num_val"):
        drawn.splits(3, num_val=0)
