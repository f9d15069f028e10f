from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from sam_ft.data.nifti.parts import nifti_splits
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.nifti.writing import write_label_volume
from sam_ft.data.splits import GroupSplit, SlabSplit
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.slices import slice_range


def cube(shape: tuple[int, int, int] = (12, 10, 8), *, first: int = 2, last: int = 5) -> np.ndarray:
    """Label 1 on a 6 x 6 square of the axial slices `first` to `last`."""
    label = np.zeros(shape, dtype=np.uint8)
    label[3:9, 2:8, first : last + 1] = 1
    return label


def test_only_slices_with_an_object_are_samples(nifti: Any) -> None:
    nifti.save_case("a", cube())
    nifti.save_case("b", cube(first=0, last=0))
    dataset = NiftiSlices(*nifti.patterns)
    assert [sample.name for sample in dataset] == [
        "a_axial_002", "a_axial_003", "a_axial_004", "a_axial_005", "b_axial_000",
    ]  # fmt: skip
    sample = dataset[0]
    assert sample.image.shape == (10, 12, 3) and sample.class_names == ("label_1",)
    assert sample.masks.sum() == 36 and sample.pixel_mm == (1.0, 1.0)


def test_a_sample_without_its_image_reads_none_and_is_else_the_same(
    nifti: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nifti.save_case("a", cube())
    dataset = NiftiSlices(*nifti.patterns)
    whole = dataset[1]
    monkeypatch.setattr(NiftiSlices, "picture", lambda *_: pytest.fail("it reads the image"))
    blank = dataset.without_image(1)
    assert torch.equal(blank.masks, whole.masks) and not blank.image.any()
    assert (blank.name, blank.class_names, blank.image.shape) == (whole.name, whole.class_names, whole.image.shape)


def test_classes_and_spacings_are_known_without_a_look_at_samples(nifti: Any) -> None:
    nifti.save("a/image.nii.gz", cube().astype(np.int16), nifti.affine("RAS", spacing_mm=(1.5, 0.5, 2.0)))
    nifti.save("a/label.nii.gz", 3 * cube(), nifti.affine("RAS", spacing_mm=(1.5, 0.5, 2.0)))
    dataset = NiftiSlices(*nifti.patterns)
    assert dataset.class_values == {"label_3": (3,)}
    assert dataset.volumes[0].grid.planes_mm == (2.0, 0.5, 1.5)
    named = NiftiSlices(*nifti.patterns, objects=ObjectRule(classes={"liver": 3, "all": [3, 4]}), axis="sagittal")
    assert named.class_values == {"liver": (3,), "all": (3, 4)}
    assert named.volumes[0].grid.planes_mm == (1.5, 2.0, 0.5)


def test_image_and_mask_of_a_sample_show_the_same_voxels(nifti: Any) -> None:
    label = np.random.default_rng(0).random((12, 10, 8)) > 0.7
    affine = nifti.affine("PIR", spacing_mm=(1.5, 1.5, 1.5))
    nifti.save("a/image.nii.gz", np.where(label, 900, 100).astype(np.int16), affine)
    nifti.save("a/label.nii.gz", label.astype(np.uint8), affine)
    for axis in ("axial", "coronal", "sagittal"):
        for sample in NiftiSlices(*nifti.patterns, axis=axis):
            assert torch.equal(sample.image[..., 0] > 128, sample.masks[0])


def test_samples_in_another_orientation_are_the_same_pictures(nifti: Any) -> None:
    voxels = np.random.default_rng(0).integers(0, 999, (12, 10, 8)).astype(np.int16)
    nifti.save("a/image.nii.gz", voxels, nifti.affine("RAS"))
    nifti.save("a/label.nii.gz", cube(), nifti.affine("RAS"))
    nifti.save("b/image.nii.gz", voxels[::-1, :, ::-1].swapaxes(0, 2), nifti.affine("IAL"))
    nifti.save("b/label.nii.gz", cube()[::-1, :, ::-1].swapaxes(0, 2), nifti.affine("IAL"))
    samples = list(NiftiSlices(*nifti.patterns))
    for first, second in zip(samples[:4], samples[4:], strict=True):
        assert torch.equal(first.image, second.image) and torch.equal(first.masks, second.masks)


def test_anisotropic_slices_have_square_pixels_and_write_back_exactly(nifti: Any) -> None:
    affine = nifti.affine("LPS", spacing_mm=(1.0, 1.0, 3.0))
    nifti.save_case("a", cube(), affine)
    dataset = NiftiSlices(*nifti.patterns, axis="coronal")
    assert dataset[0].image.shape == (24, 12, 3) and dataset[0].pixel_mm == pytest.approx((1.0, 1.0))
    grid = dataset.volumes[0].grid
    pictures = {
        entry.index: sample.masks[0].numpy().astype(np.uint8)
        for entry, sample in zip(dataset.entries, dataset, strict=True)
    }
    written = nibabel.load(write_label_volume(nifti.folder / "out" / "label.nii.gz", pictures, grid=grid))
    assert np.array_equal(np.asanyarray(written.dataobj), cube())
    assert np.array_equal(written.affine, affine)


def save_with_margin(nifti: Any, label: np.ndarray) -> None:
    """An image that is 0 but for columns 2 to 9, rows 1 to 8 and slices 1 to 6, with its label."""
    image = np.zeros((12, 10, 8), dtype=np.int16)
    image[2:10, 1:9, 1:7] = np.random.default_rng(0).integers(1, 900, (8, 8, 6))
    affine = nifti.affine("PIR")
    nifti.save("a/image.nii.gz", image, affine)
    nifti.save("a/label.nii.gz", label, affine)


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_a_crop_hides_the_empty_margin_and_writes_back_onto_the_whole_grid(nifti: Any, axis: str) -> None:
    label = cube()
    save_with_margin(nifti, label)
    whole = NiftiSlices(*nifti.patterns, axis=axis)
    cropped = NiftiSlices(*nifti.patterns, axis=axis).cropped()
    assert [sample.name for sample in cropped] == [sample.name for sample in whole]
    assert cropped[0].image.shape[:2] == cropped[0].masks.shape[1:]
    assert sorted(cropped[0].image.shape[:2]) == ([8, 8] if axis == "sagittal" else [6, 8])
    for small, large in zip(cropped, whole, strict=True):
        height, width = small.image.shape[:2]
        windows = large.image.unfold(0, height, 1).unfold(1, width, 1)[:, :, 0]  # (tops, lefts, height, width)
        assert (windows == small.image[..., 0]).all(dim=(-1, -2)).sum() == 1
        assert small.masks.sum() == large.masks.sum()
    pictures = {entry.index: cropped[i].masks[0].numpy().astype(np.uint8) for i, entry in enumerate(cropped.entries)}
    path = write_label_volume(nifti.folder / "out" / "label.nii.gz", pictures, grid=cropped.volumes[0].grid)
    assert np.array_equal(np.asanyarray(nibabel.load(path).dataobj), label)


def test_a_label_that_a_crop_would_hide_is_refused_and_counted(nifti: Any) -> None:
    label = cube()
    label[0, 3:5, 3] = 1
    save_with_margin(nifti, label)
    assert len(NiftiSlices(*nifti.patterns)) > 0
    with pytest.raises(ValueError, match=r"2 voxels lie outside: crop=null"):
        NiftiSlices(*nifti.patterns).cropped()


def test_an_unknown_crop_is_refused(nifti: Any) -> None:
    nifti.save_case("a", cube())
    with pytest.raises(ValueError, match="'centre'"):
        nifti_splits(*nifti.patterns, split=GroupSplit(), crop="centre")  # type: ignore[arg-type]


def test_an_image_without_a_label_and_a_label_without_an_image_are_named(nifti: Any) -> None:
    nifti.save_case("a", cube())
    nifti.save("b/image.nii.gz", cube())
    nifti.save("c/label.nii.gz", cube())
    with pytest.raises(ValueError, match="b/image.nii.gz has no label; .*c/label.nii.gz has no image"):
        NiftiSlices(*nifti.patterns)


def test_an_unlabelled_series_is_left_out_with_a_warning(nifti: Any, caplog: pytest.LogCaptureFixture) -> None:
    nifti.save_case("a", cube())
    nifti.save("series/image.nii.gz", np.zeros((4, 4, 4, 3), dtype=np.int16))
    assert len(NiftiSlices(*nifti.patterns).volumes) == 1
    assert "series/image.nii.gz is a 4-D series without a label" in caplog.text
    with pytest.raises(ValueError, match="series/image.nii.gz has no label"):
        NiftiSlices(*nifti.patterns, volume_index=0)


def test_a_labelled_series_needs_a_volume_index(nifti: Any) -> None:
    nifti.save("a/image.nii.gz", np.stack([cube() * 9, cube() * 0], axis=-1))
    nifti.save("a/label.nii.gz", cube())
    with pytest.raises(ValueError, match="a/image.nii.gz.*volume_index=0 ... 1"):
        NiftiSlices(*nifti.patterns)
    assert NiftiSlices(*nifti.patterns, volume_index=0)[0].image.max() == 255
    assert NiftiSlices(*nifti.patterns, volume_index=1)[0].image.max() == 0


def test_a_label_on_another_grid_is_refused_at_construction(nifti: Any) -> None:
    nifti.save("a/image.nii.gz", cube(), nifti.affine("LPS"))
    nifti.save("a/label.nii.gz", cube(), nifti.affine("LAS"))
    with pytest.raises(ValueError, match="a/label.nii.gz on the grid of its image .*a/image.nii.gz"):
        NiftiSlices(*nifti.patterns)


def test_empty_labels_are_counted_in_a_warning(nifti: Any, caplog: pytest.LogCaptureFixture) -> None:
    nifti.save_case("a", cube())
    nifti.save_case("b", cube() * 0)
    assert len(NiftiSlices(*nifti.patterns)) == 4
    assert "1 of 2 label volumes hold no object" in caplog.text and "b/label.nii.gz" in caplog.text


def test_no_object_at_all_is_an_error_that_says_what_was_found(nifti: Any) -> None:
    nifti.save_case("a", cube())
    with pytest.raises(ValueError, match=r"label values found: \[1\].*min_area_px=37"):
        NiftiSlices(*nifti.patterns, objects=ObjectRule(min_area_px=37))
    with pytest.raises(ValueError, match="none remains"):
        NiftiSlices(*nifti.patterns, slices=(6, 8))


def test_a_class_that_never_occurs_is_warned_about(nifti: Any, caplog: pytest.LogCaptureFixture) -> None:
    nifti.save_case("a", cube())
    NiftiSlices(*nifti.patterns, objects=ObjectRule(classes={"cord": 1, "lesion": [7, 8]}))
    assert "Class 'lesion' (7, 8) occurs in no label" in caplog.text and "'cord'" not in caplog.text


def test_construction_reads_no_image(nifti: Any) -> None:
    nifti.save_case("a", cube())
    image = nifti.folder / "a/image.nii.gz"
    dataset = NiftiSlices(*nifti.patterns)
    image.unlink()
    with pytest.raises(ValueError, match="a/image.nii.gz"):
        dataset[0]


def test_volumes_without_room_on_the_disk_are_kept_in_memory_within_the_limit(
    nifti: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in "abc":
        nifti.save_case(case, cube((64, 64, 64), first=0, last=0))  # 0.75 MiB decoded, image and label
    dataset = NiftiSlices(*nifti.patterns, window=(500, 1000), cache=SliceCache(memory_mib=1.6, disk_gib=0))
    reads = count_reads(monkeypatch)
    for index in (0, 0, 1, 0, 1):
        dataset[index]
    assert reads == ["a", "b"]
    for index in (2, 1, 0):
        dataset[index]
    assert reads == ["a", "b", "c", "a"]


def test_one_volume_is_kept_even_beyond_the_limit(nifti: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nifti.save_case("a", cube())
    dataset = NiftiSlices(*nifti.patterns, window=(500, 1000), cache=SliceCache(memory_mib=0, disk_gib=0))
    entry = dataset.entries[0]
    reads = count_reads(monkeypatch)
    dataset.picture(entry)
    dataset.picture(entry)
    assert reads == ["a"]


def test_a_volume_on_the_disk_is_decoded_once_for_all_data_sets(nifti: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nifti.save_case("a", cube())
    reads = count_reads(monkeypatch)
    first = list(NiftiSlices(*nifti.patterns))
    second = list(NiftiSlices(*nifti.patterns))
    assert reads == ["a"]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.image, other.image) and torch.equal(one.masks, other.masks)


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cases whose images are decoded from now on."""
    from sam_ft.data.nifti import volume

    reads: list[str] = []
    original = volume.read_stored

    def counted(image: Any, *, path: Path, **options: Any) -> np.ndarray:
        reads.append(path.parent.name)
        return original(image, path=path, **options)

    monkeypatch.setattr(volume, "read_stored", counted)
    return reads


def test_a_pickled_data_set_leaves_decoded_volumes_behind(nifti: Any) -> None:
    nifti.save_case("a", cube((64, 64, 64)))
    dataset = NiftiSlices(*nifti.patterns)
    expected = dataset[0]
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 20_000
    assert torch.equal(pickle.loads(pickled)[0].image, expected.image)


def test_any_slice_can_be_shown_also_without_objects(nifti: Any) -> None:
    nifti.save_case("a", cube())
    dataset = NiftiSlices(*nifti.patterns)
    entry = type(dataset.entries[0])(volume=0, index=7)
    assert dataset.picture(entry).shape == (10, 12, 3)


def test_slices_are_fractions_or_indices() -> None:
    assert slice_range(None, num_slices=10) == range(10)
    assert slice_range([0.2, 0.5], num_slices=10) == range(2, 5)
    assert slice_range((3, 99), num_slices=10) == range(3, 10)
    assert slice_range([0.2, 1], num_slices=10) == range(2, 10)
    assert slice_range([0, 0.5], num_slices=10) == range(5)
    assert slice_range([0, 1], num_slices=10) == range(1)  # two integers are indices
    for wrong in ([0.5, 0.2], [0.0, 1.5], [1, 0.5], [3], [-1, 4], [0.2, 5], [False, True], ["0.2", 1.0], [0.0, np.nan]):
        with pytest.raises(ValueError, match="two fractions"):
            slice_range(wrong, num_slices=10)


def test_volumes_of_one_patient_stay_together(nifti: Any) -> None:
    for patient in ("p1", "p2", "p3"):
        for session in ("s1", "s2"):
            nifti.save_case(f"{patient}/{session}", cube())
    patterns = f"{nifti.folder}/*/*/image.nii.gz", f"{nifti.folder}/*/*/label.nii.gz"
    splits = nifti_splits(*patterns, split=GroupSplit(val=["p2"], test=0.3))
    patients = [
        {sample.name[:2] for sample in part} for part in (splits.train, splits.val, splits.test) if part is not None
    ]
    assert patients[1] == {"p2"} and len(patients[0]) == len(patients[2]) == 1
    assert patients[0] | patients[1] | patients[2] == {"p1", "p2", "p3"}


def test_slabs_of_one_volume_do_not_touch(nifti: Any) -> None:
    nifti.save_case("a", cube((12, 10, 40), first=0, last=39), nifti.affine("LPS", spacing_mm=(1, 1, 2)))
    split = SlabSplit(val=(0.25, 0.5), test=None, gap_mm=5)
    splits = nifti_splits(*nifti.patterns, split=split)
    assert [entry.index for entry in splits.val.entries] == list(range(10, 20))
    assert [entry.index for entry in splits.train.entries] == [*range(7), *range(23, 40)]  # 5 mm: 3 slices
    assert splits.test is None


def test_a_single_volume_is_not_split_by_groups(nifti: Any) -> None:
    nifti.save_case("a", cube())
    with pytest.raises(ValueError, match="data/split=slabs"):
        nifti_splits(*nifti.patterns, split=GroupSplit())


@pytest.mark.data
def test_the_spinal_cord_volumes_of_six_orientations_become_slices(
    data_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = data_folder / "volumes" / "spine_mri"
    with caplog.at_level(logging.INFO):
        dataset = NiftiSlices(f"{folder}/*/image.nii.gz", f"{folder}/*/label_cord.nii.gz")
    assert [volume.name for volume in dataset.volumes] == ["mt1", "pam50_small", "t1", "t2", "t2_lesion", "t2s"]
    assert "dmri_4d" in caplog.text and "440 of 520 slices in 6 volumes" in caplog.text
    first = {entry.volume: index for index, entry in reversed(list(enumerate(dataset.entries)))}
    for index in first.values():
        rows, columns = dataset[index].masks[0].nonzero(as_tuple=True)
        height, width = dataset[index].image.shape[:2]
        assert 0.2 < columns.float().mean() / width < 0.8 and 0.2 < rows.float().mean() / height < 0.8


@pytest.mark.data
def test_a_real_label_of_another_grid_is_refused(data_folder: Path) -> None:
    folder = data_folder / "volumes" / "mismatch" / "other_grid"
    with pytest.raises(ValueError, match=r"image \(320, 320, 26\)"):
        NiftiSlices(f"{folder}/image.nii.gz", f"{folder}/label.nii.gz")


@pytest.mark.data
def test_a_real_label_stored_from_front_to_back_lies_on_the_organs_of_an_image_stored_the_other_way(
    data_folder: Path,
) -> None:
    folder = data_folder / "volumes" / "mismatch" / "same_shape_flipped"
    dataset = NiftiSlices(f"{folder}/image.nii.gz", f"{folder}/label.nii.gz", window="abdomen")
    sample = dataset[len(dataset) // 2]
    labelled = sample.image[..., 0][sample.masks.any(dim=0)].float()
    assert len(labelled) > 1000 and (labelled == 0).float().mean() < 0.2  # of air, which the flipped label would hold


@pytest.mark.data
@pytest.mark.parametrize("case, axes", [("t2", "PSR"), ("t2s", "LAS"), ("t2_lesion", "PSR")])
def test_real_labels_write_back_onto_their_exact_grid(data_folder: Path, tmp_path: Path, case: str, axes: str) -> None:
    import nibabel

    folder = data_folder / "volumes" / "spine_mri" / case
    rule = ObjectRule(min_area_px=1)
    for axis in ("axial", "sagittal"):
        dataset = NiftiSlices(f"{folder}/image.nii.gz", f"{folder}/label_cord.nii.gz", axis=axis, objects=rule)
        pictures = {
            entry.index: sample.masks[0].numpy().astype(np.uint8)
            for entry, sample in zip(dataset.entries, dataset, strict=True)
        }
        path = write_label_volume(tmp_path / "cord.nii.gz", pictures, grid=dataset.volumes[0].grid)
        written, image = nibabel.load(path), nibabel.load(folder / "image.nii.gz")
        label = nibabel.load(folder / "label_cord.nii.gz")
        assert np.array_equal(np.asanyarray(written.dataobj), np.rint(np.asanyarray(label.dataobj)))
        assert np.array_equal(written.affine, image.affine) and written.shape == image.shape
        for field in ("qform_code", "sform_code", "pixdim", "quatern_b", "qoffset_x", "srow_x", "xyzt_units"):
            assert np.array_equal(written.header[field], image.header[field]), field
        assert "".join(nibabel.aff2axcodes(written.affine)) == axes
