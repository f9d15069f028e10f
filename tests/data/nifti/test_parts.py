from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from sam_ft.data.classes import class_names_of
from sam_ft.data.folds import FoldSplit
from sam_ft.data.nifti.parts import nifti_splits
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.data.volumes.objects import KINDS, ObjectRule
from sam_ft.data.volumes.slices import VolumeSlices


def cube(first: int = 2, last: int = 5) -> np.ndarray:
    label = np.zeros((12, 10, 8), dtype=np.uint8)
    label[3:9, 2:8, first : last + 1] = 1
    return label


def names(part: Any) -> set[str]:
    return {sample.name.split("_axial")[0] for sample in part}


def test_every_group_is_validated_on_in_one_fold(nifti: Any) -> None:
    for case in "abcdef":
        nifti.save_case(case, cube())
    validated: list[str] = []
    for fold in range(3):
        splits = nifti_splits(*nifti.patterns, split=FoldSplit(fold=fold, num_folds=3))
        assert splits.test is None and not names(splits.train) & names(splits.val)
        assert names(splits.train) | names(splits.val) == set("abcdef")
        validated += sorted(names(splits.val))
    assert sorted(validated) == list("abcdef")


def test_a_grouping_rule_keeps_what_it_matches_together(nifti: Any) -> None:
    for case in ("p1_a", "p1_b", "p2_a", "p2_b", "p3_a"):
        nifti.save_case(case, cube())
    splits = nifti_splits(*nifti.patterns, split=GroupSplit(val=["p2"], test=["p3"]), group="(p[0-9])_")
    assert names(splits.val) == {"p2_a", "p2_b"} and names(splits.train) == {"p1_a", "p1_b"}


def test_a_grouping_rule_that_does_not_fit_is_refused(nifti: Any) -> None:
    nifti.save_case("q1", cube())
    for rule, message in (("(p[0-9]+)/", "q1/image.nii.gz"), ("(p", "regular expression")):
        with pytest.raises(ValueError, match=message):
            nifti_splits(*nifti.patterns, split=GroupSplit(), group=rule)


def test_one_scan_under_two_names_in_two_parts_is_refused(nifti: Any) -> None:
    for case in "abc":
        nifti.save_case(case, cube())
    shutil.copytree(nifti.folder / "a", nifti.folder / "a_again")
    with pytest.raises(ValueError, match=r"a/image.nii.gz \(train\) and .*a_again/image.nii.gz \(val\).*same content"):
        nifti_splits(*nifti.patterns, split=GroupSplit(val=["a_again"], test=0))
    splits = nifti_splits(*nifti.patterns, split=GroupSplit(val=["b"], test=0))
    assert names(splits.train) == {"a", "a_again", "c"}


def test_uncompressed_scans_with_the_same_margins_are_no_twins(nifti: Any) -> None:
    for case, value in (("a", 1), ("b", 2)):
        image = np.zeros((128, 128, 40), dtype=np.int16)
        image[10:20, 10:20, 10] = value  # neither at the beginning nor in the middle nor at the end of the file
        nifti.save(f"{case}/image.nii", image)
        nifti.save(f"{case}/label.nii.gz", image.astype(np.uint8))
    patterns = f"{nifti.folder}/*/image.nii", f"{nifti.folder}/*/label.nii.gz"
    assert names(nifti_splits(*patterns, split=GroupSplit(val=["b"], test=0)).val) == {"b"}


def test_a_share_of_the_slices_without_object_is_drawn_by_the_seed(nifti: Any) -> None:
    for case in "abcde":
        nifti.save_case(case, cube(first=3, last=3))
    dataset = NiftiSlices(*nifti.patterns)
    assert len(dataset) == 5 and len(dataset.with_empty(1.0)) == 40
    some = dataset.with_empty(0.2)
    assert len(some) == 5 + 7 and list(some.entries) == sorted(some.entries)
    assert some.entries == dataset.with_empty(0.2).entries != dataset.with_empty(0.2, seed=1).entries
    assert [len(sample.masks) for sample in some].count(0) == 7
    splits = nifti_splits(*nifti.patterns, split=GroupSplit(seed=3), empty=1.0)
    assert isinstance(splits, DataSplits) and len(splits.val) == 8
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match="`empty`"):
            dataset.with_empty(wrong)


def test_slices_without_object_stay_in_the_part_of_their_volume_or_slab(nifti: Any) -> None:
    for case in "abc":
        nifti.save_case(case, cube(first=2, last=5))
    by_group = nifti_splits(*nifti.patterns, split=GroupSplit(val=["b"], test=["c"])).test
    assert isinstance(by_group, VolumeSlices) and len(by_group) == 4
    assert {(entry.volume, entry.index) for entry in by_group.with_empty(1.0).entries} == {(2, n) for n in range(8)}
    slabs = SlabSplit(val=(0.0, 0.4), test=(0.5, 1.0), gap_mm=0)
    by_slab = nifti_splits(*nifti.patterns, split=slabs, empty=1.0).test
    assert isinstance(by_slab, VolumeSlices)
    everything = by_slab.with_empty(1.0).entries
    assert by_slab.entries == everything  # what is there already does not come twice
    assert {entry.index for entry in everything} == {4, 5, 6, 7}


def test_a_slice_whose_objects_are_too_small_is_not_taken_for_an_empty_one(nifti: Any) -> None:
    label = cube(first=3, last=3)
    label[0, 0, 5] = 1
    nifti.save_case("a", label)
    dataset = NiftiSlices(*nifti.patterns)
    added = {entry.index for entry in dataset.with_empty(1.0).entries}
    assert added == set(range(8)) - {5}
    assert [entry.index for entry in dataset.every_slice().entries] == list(range(8))
    small = {entry.index: dataset.too_small(entry) for entry in dataset.every_slice().entries}
    assert [index for index, found in small.items() if found] == [5] and small[5]["label_1"].sum() == 1
    assert [entry.index for entry in dataset.only(lambda entry: entry.index < 5).every_slice().entries] == [*range(5)]


def test_slabs_have_no_groups(nifti: Any) -> None:
    nifti.save_case("a", cube())
    with pytest.raises(ValueError, match="group=null with slabs"):
        nifti_splits(*nifti.patterns, split=SlabSplit(val=(0.3, 0.5), gap_mm=0), group="(a)")


def test_neighbours_do_not_reach_into_a_held_out_slab(nifti: Any) -> None:
    nifti.save("a/image.nii.gz", np.ones((6, 6, 40), dtype=np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    nifti.save("a/label.nii.gz", np.ones((6, 6, 40), dtype=np.uint8), np.diag([1.0, 1.0, 2.0, 1.0]))
    split = SlabSplit(val=(0.25, 0.5), gap_mm=3)
    assert nifti_splits(*nifti.patterns, split=split, neighbours=1)
    with pytest.raises(ValueError, match="gap_mm of at least 4"):
        nifti_splits(*nifti.patterns, split=split, neighbours=2)


def test_a_crop_holds_the_foreground_of_every_sequence(nifti: Any) -> None:
    for name, columns in (("t1", slice(4, 7)), ("t2", slice(2, 5)), ("flair", slice(6, 9))):
        image = np.zeros((12, 10, 8), dtype=np.int16)
        image[columns, 3:6, 2:6] = 7
        nifti.save(f"a/{name}.nii.gz", image)
    label = np.zeros((12, 10, 8), dtype=np.uint8)
    label[3:8, 3:6, 3] = 1
    nifti.save("a/label.nii.gz", label)
    patterns = [f"{nifti.folder}/*/{name}.nii.gz" for name in ("t1", "t2", "flair")]
    cropped = NiftiSlices(patterns, f"{nifti.folder}/*/label.nii.gz").cropped()
    assert cropped[0].image.shape == (3, 7, 3)


def write_labels(nifti: Any) -> tuple[str, str]:
    """Patterns of images and labels in a folder each; values 1, 2 and 9."""
    label = cube()
    label[3:5, 2:8, 2:6], label[:, :, 0] = 2, 9
    for seed, case in enumerate("abc"):
        image = np.random.default_rng(seed).integers(0, 99, label.shape).astype(np.int16)
        nifti.save(f"images/{case}.nii.gz", image)
        nifti.save(f"labels/{case}.nii.gz", label)
    return f"{nifti.folder}/images/*.nii.gz", f"{nifti.folder}/labels/*.nii.gz"


def test_a_file_beside_the_labels_names_the_classes_and_what_is_ignored(nifti: Any) -> None:
    patterns, names_file = write_labels(nifti), nifti.folder / "labels" / "labels.json"
    names_file.write_text('{"background": 0, "cyst": 2, "kidney": [1, 2], "ignore": 9}')
    splits = nifti_splits(*patterns, split=GroupSplit(test=0), empty=1.0)
    assert class_names_of(splits.train) == splits.val[2].class_names == ("cyst", "kidney")
    first = splits.val[0]
    assert first.ignored is not None and first.ignored.all() and len(first.masks) == 0
    assert splits.val[2].masks.sum(dim=(1, 2)).tolist() == [12, 36]
    own = nifti_splits(*patterns, split=GroupSplit(test=0), objects=ObjectRule(classes={"all": [1, 2]}))
    assert own.val[0].class_names == ("all",)
    names_file.write_text('{"kidney": 1, "ignore": 9}')
    with pytest.raises(ValueError, match=r"labels.json names \(0, 1, 9\) in .*labels/a.nii.gz, but got 2"):
        nifti_splits(*patterns, split=GroupSplit(test=0))


def test_ignored_values_are_no_class_of_their_own(nifti: Any) -> None:
    patterns = write_labels(nifti)
    for kind in KINDS:
        rule = ObjectRule(kind=kind, ignored=9)
        splits = nifti_splits(*patterns, split=GroupSplit(test=0), objects=rule)
        assert class_names_of(splits.train) == ("label_1", "label_2") and len(splits.val) == 4
        assert splits.val[0].ignored is not None and not splits.val[0].ignored.any()
    for wrong in (
        {"ignored": [0]},
        {"ignored": "9"},
        {"ignored": None},
        {"ignored": True},
        {"classes": {"cyst": 9}, "ignored": [9]},
    ):
        with pytest.raises(ValueError, match="ignored"):
            ObjectRule(**wrong)  # type: ignore[arg-type]
