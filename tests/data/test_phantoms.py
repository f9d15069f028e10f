from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from sam_ft.data.phantoms import Phantoms, phantom_splits


def test_a_sample_follows_from_seed_and_index_alone() -> None:
    first, second = Phantoms(9, image_size=48, seed=3), Phantoms(5, image_size=48, seed=3)
    list(first)
    assert torch.equal(first[4].image, second[4].image) and torch.equal(first[4].masks, second[4].masks)
    assert not torch.equal(first[4].image, first[5].image)
    assert not torch.equal(first[4].image, Phantoms(5, image_size=48, seed=4)[4].image)


def test_objects_are_connected_and_large_enough() -> None:
    for sample in Phantoms(40, image_size=64):
        for mask in sample.masks.numpy():
            assert mask.sum() >= 0.003 * 64**2
            assert ndimage.label(mask, structure=torch.ones(3, 3))[1] == 1


def test_tissues_share_no_pixel_and_bodies_neither() -> None:
    seen = set()
    for sample in Phantoms(40, image_size=64):
        is_body = torch.tensor([name == "body" for name in sample.class_names], dtype=torch.bool)
        assert sample.masks[is_body].sum(dim=0).max() <= 1
        if not is_body.all():
            assert sample.masks[~is_body].sum(dim=0).max() <= 1
        seen |= set(sample.class_names)
    assert seen == {"body", "rim", "core", "nucleus", "cavity"}


def test_a_tissue_differs_from_its_neighbour() -> None:
    differences = []
    for sample in Phantoms(40, image_size=96):
        grey = sample.image.float().mean(dim=-1)
        means = {name: grey[mask].mean() for name, mask in zip(sample.class_names, sample.masks, strict=True)}
        if "rim" in means and "core" in means:
            differences.append(abs(float(means["rim"] - means["core"])))
    assert len(differences) > 5
    assert sorted(differences)[len(differences) // 2] > 20


def test_parts_share_no_image() -> None:
    splits = phantom_splits(6, num_val=6, num_test=6, image_size=32)
    assert splits.test is not None
    images = [sample.image for part in (splits.train, splits.val, splits.test) for sample in part]
    assert not any(torch.equal(images[a], images[b]) for a in range(18) for b in range(a))
    assert phantom_splits(2, num_val=2).test is None


def test_an_index_out_of_range_and_numbers_too_small_are_refused() -> None:
    with pytest.raises(IndexError, match="from 0 to 2"):
        Phantoms(3)[3]
    with pytest.raises(ValueError, match="num_images"):
        Phantoms(0)
    with pytest.raises(ValueError, match="image_size"):
        Phantoms(3, image_size=16)
