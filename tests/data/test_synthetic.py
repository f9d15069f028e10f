from __future__ import annotations

from sam_ft.data.synthetic import Synthetic


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
