from __future__ import annotations

import numpy as np
import pytest
import torch

from sam_ft.data.synthetic import Synthetic, synthetic_splits


def test_a_sample_follows_from_seed_and_index_alone() -> None:
    first, second = Synthetic(9, image_size=48, seed=3), Synthetic(5, image_size=48, seed=3)
    list(first)
    assert torch.equal(first[4].image, second[4].image) and torch.equal(first[4].masks, second[4].masks)
    assert not torch.equal(first[4].image, first[5].image)
    assert not torch.equal(first[4].image, Synthetic(5, image_size=48, seed=4)[4].image)


def test_every_mask_is_large_enough_and_looks_different_from_the_ground() -> None:
    for sample in Synthetic(25, image_size=64):
        assert len(sample.masks) >= 1 and sample.masks.flatten(1).sum(dim=1).min() >= 12
        ground = sample.image[~sample.masks.any(dim=0)].float().mean()
        for mask in sample.masks:
            assert sample.image[mask].float().mean() > ground


def test_shapes_overlap_only_where_one_is_nested_in_the_other() -> None:
    nested = 0
    for sample in Synthetic(40, image_size=64):
        for first in range(len(sample.masks)):
            for second in range(first + 1, len(sample.masks)):
                if (sample.masks[first] & sample.masks[second]).any():
                    nested += 1
                    assert sample.class_names[first] == "ellipse" and sample.class_names[second] == "nucleus"
                    assert not (sample.masks[second] & ~sample.masks[first]).any()
    assert nested > 5


def test_parts_share_no_image() -> None:
    splits = synthetic_splits(6, num_val=6, num_test=6, image_size=32)
    assert splits.test is not None
    pictures = {
        np.asarray(sample.image).tobytes() for part in (splits.train, splits.val, splits.test) for sample in part
    }
    assert len(pictures) == 18
    assert synthetic_splits(2, num_val=1).test is None


def test_numbers_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="image_size"):
        Synthetic(1, image_size=8)
    with pytest.raises(IndexError):
        Synthetic(1)[1]
