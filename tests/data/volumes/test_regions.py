from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.regions import label_regions, layers_of, objects_of_regions

HORSESHOE = np.zeros((3, 5, 9), dtype=np.uint8)
HORSESHOE[:2, 1:4, 1:3] = 1  # two legs in slices 0 and 1 ...
HORSESHOE[:2, 1:4, 6:8] = 1
HORSESHOE[2, 1:4, 1:8] = 1  # ... that meet in slice 2


def test_a_region_is_one_where_its_parts_meet_in_another_slice() -> None:
    regions, names = label_regions(HORSESHOE, {"liver": (1,)})
    assert names == ["liver"] and np.array_equal(regions > 0, HORSESHOE > 0)
    assert [(name, int(mask.sum())) for name, mask in objects_of_regions(regions[0], names)] == [("liver", 12)]


def test_classes_that_share_a_value_lie_in_different_layers() -> None:
    rule = ObjectRule(kind="components_3d", classes={"grey": 1, "brain": [1, 2], "white": 2, "skull": 3})
    assert layers_of(rule, []) == [{"grey": (1,), "white": (2,), "skull": (3,)}, {"brain": (1, 2)}]
    assert layers_of(ObjectRule(kind="components_3d"), [4, 7]) == [{"label_4": (4,), "label_7": (7,)}]


def test_regions_of_random_labels_are_those_of_each_class_alone() -> None:
    labels = (np.random.default_rng(0).random((9, 12, 10)) * 20).astype(np.uint8).clip(max=3)
    labels[labels == 3] = 0
    classes = {"a": (1,), "b": (2,)}
    regions, names = label_regions(labels, classes)
    for name, values in classes.items():
        expected, num_expected = ndimage.label(np.isin(labels, values), structure=np.ones((3, 3, 3)))
        numbers = [number + 1 for number, other in enumerate(names) if other == name]
        assert len(numbers) == num_expected
        for number in numbers:
            where = regions == number
            assert len(np.unique(expected[where])) == 1 and where.sum() == (expected == expected[where][0]).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_regions_of_any_values_lie_where_their_class_does(dtype: type) -> None:
    largest = int(np.iinfo(dtype).max)
    labels = np.zeros((6, 5, 4), dtype=dtype)
    labels[1:3, 0, 1] = largest
    labels[4, 3:, 2] = 7
    regions, names = label_regions(labels, {"a": (7, 9), "b": (largest,), "c": (8,)})
    assert names == ["a", "b"] and np.array_equal(regions, np.where(labels == 7, 1, 2 * (labels > 0)))
    both, names = label_regions(labels, {"any": (7, largest)})
    assert names == ["any", "any"] and np.array_equal(both, np.where(labels == 7, 2, labels > 0))


def test_slices_of_a_volume_show_its_three_dimensional_components(nifti: Any) -> None:
    labels = np.concatenate([HORSESHOE, np.zeros((1, 5, 9), np.uint8), HORSESHOE[2:] * 2])  # (slices, rows, columns)
    nifti.save_case("a", labels.transpose(2, 1, 0), np.diag([1.0, 1.0, 1.0, 1.0]))

    def found(kind: str, **rule: Any) -> list[list[tuple[str, int]]]:
        dataset = NiftiSlices(*nifti.patterns, objects=ObjectRule(kind=kind, **rule))
        for _ in range(2):  # from the voxels, then from the cache
            result = [
                [(name, int(mask.sum())) for name, mask in zip(sample.class_names, sample.masks, strict=True)]
                for sample in dataset
            ]
        return result

    assert found("components", min_area_px=1) == [[("label_1", 6)] * 2] * 2 + [[("label_1", 21)], [("label_2", 21)]]
    assert found("components_3d", min_area_px=1) == [[("label_1", 12)]] * 2 + [[("label_1", 21)], [("label_2", 21)]]
    assert found("components_3d", min_area_px=13) == [[("label_1", 21)], [("label_2", 21)]]
    assert found("components_3d", min_area_px=1, classes={"one": 1, "any": [1, 2]})[0] == [("one", 12), ("any", 12)]


def test_a_lone_slice_cannot_tell_three_dimensional_components() -> None:
    with pytest.raises(ValueError, match="whole volume.*components_3d"):
        ObjectRule(kind="components_3d").objects_of(HORSESHOE[0], pixel_mm=(1, 1), path=Path("a.nii"))


def test_a_volume_without_labels_has_no_regions() -> None:
    regions, names = label_regions(np.zeros((2, 3, 4), np.uint8), {"a": (1,)})
    assert names == [] and not regions.any()
