from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from sam_ft.data.dicom.parts import dicom_slices, dicom_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.data.volumes.objects import ObjectRule

VOXELS = np.random.default_rng(0).integers(0, 2000, (12, 14, 5)).astype(np.int16)
EVERY = ObjectRule(min_area_px=1)


def frame(columns: slice, rows: slice) -> np.ndarray:
    """(rows, columns) of one segment."""
    mask = np.zeros((14, 12), dtype=bool)
    mask[rows, columns] = True
    return mask


SMALL, LARGE = frame(slice(1, 3), slice(2, 4)), frame(slice(4, 10), slice(5, 12))


def tree(dicom: Any) -> tuple[str, str]:
    """Patterns that a download of an archive would take."""
    return f"{dicom.folder}/*", f"{dicom.folder}/**/*.dcm"


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_the_segments_of_a_series_are_its_labels(dicom: Any, kind: str) -> None:
    series = dicom.save_series("p1/study/ct", VOXELS)
    dicom.save_series("p1/study/scout", VOXELS[..., :3], SeriesDescription="never segmented")
    numbers = {1: 1, 7: 7} if kind == "LABELMAP" else {1: 1, 7: 1}
    frames = [(1, 1, SMALL), (1, 7, LARGE), (3, 7, LARGE)]
    if kind == "LABELMAP":
        frames = [(1, 1, SMALL * 1 + LARGE * 7), (3, 1, LARGE * 7)]
    dicom.save_segmentation("p1/study/seg/1.dcm", series, frames, kind=kind, names=dict.fromkeys(numbers, "part"))
    dataset = dicom_slices(*tree(dicom), objects=EVERY, window=(1000, 2000))
    assert [sample.name for sample in dataset] == ["p1_axial_001", "p1_axial_003"]
    assert dataset[0].class_names == ("label_1", "label_7") and dataset[1].class_names == ("label_7",)
    grid = dataset.volumes[0].grid
    canonical = np.zeros(VOXELS.shape, dtype=np.uint8)
    canonical[..., 1][SMALL.T] = 1
    canonical[..., 1][LARGE.T] = 7
    expected = grid.labels_to_picture(grid.cut(grid.to_canonical(canonical), 1))
    assert np.array_equal(dataset[0].masks[0].numpy(), expected == 1)
    assert np.array_equal(dataset[0].masks[1].numpy(), expected == 7)


def test_a_label_value_that_files_name_otherwise_is_warned_about(dicom: Any, caplog: pytest.LogCaptureFixture) -> None:
    for patient, name in (("p1", "Liver"), ("p2", "Kidney")):
        series = dicom.save_series(f"{patient}/ct", VOXELS)
        dicom.save_segmentation(f"{patient}/seg.dcm", series, [(1, 1, LARGE)], names={1: name})
    dicom_slices(*tree(dicom), objects=EVERY)
    assert "Label value 1 is 'Liver' in" in caplog.text and "but 'Kidney' in" in caplog.text


@pytest.mark.parametrize(
    "change, message",
    [
        ({"SegmentationType": "FRACTIONAL"}, "seg.dcm, but its modality is SEG and its type FRACTIONAL"),
        ({"ReferencedSeriesSequence": None}, "BINARY or LABELMAP in .*seg.dcm"),
        ({"Rows": 12, "Columns": 14}, r"seg.dcm, but the frames have \(12, 14\) pixels"),
        ({"overlap": True}, "seg.dcm, but the segment of frame 1 overlaps"),
        ({"position": [-30, -20, 100.0]}, "seg.dcm, but frame 0 would be slice 56 of 5"),
        ({"position": [-30, -20, -36.5]}, "seg.dcm, but frame 0 begins at column .* of slice 1.4"),
        ({"position": [-29, -20, -37.5]}, "seg.dcm, but frame 0 begins at column 1.25"),
        ({"direction": [1, 0, 0, 0, -1, 0]}, "seg.dcm, but the rows and columns of frame 0 run"),
        ({"spacing": [0.5, 0.9]}, "seg.dcm, but the rows and columns of frame 0 run or lie"),
    ],
)
def test_segments_that_are_not_on_the_slices_of_their_series_are_refused(
    dicom: Any, change: dict[str, Any], message: str
) -> None:
    series = dicom.save_series("p1/ct", VOXELS)
    other = LARGE if "overlap" not in change else SMALL | LARGE
    path = dicom.save_segmentation("p1/seg.dcm", series, [(1, 1, SMALL), (1, 2, other)])
    dataset = pydicom.dcmread(path)
    shared, each = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence
    if "position" in change:
        each[0].PlanePositionSequence[0].ImagePositionPatient = change["position"]
    if "direction" in change:
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = change["direction"]
    if "spacing" in change:
        shared.PixelMeasuresSequence[0].PixelSpacing = change["spacing"]
    for key, value in change.items():
        if key[0].isupper():
            setattr(dataset, key, value)
    dataset.save_as(path)
    with pytest.raises(ValueError, match=message):
        dicom_slices(*tree(dicom), objects=EVERY)


def test_two_segmentations_of_a_series_and_one_of_no_series_are_named(dicom: Any) -> None:
    series = dicom.save_series("p1/ct", VOXELS)
    other = dicom.save_series("elsewhere/ct", VOXELS)
    dicom.save_segmentation("p1/one.dcm", series, [(1, 1, LARGE)])
    dicom.save_segmentation("p1/two.dcm", series, [(1, 1, LARGE)])
    images, labels = f"{dicom.folder}/p*", f"{dicom.folder}/p*/**/*.dcm"
    with pytest.raises(ValueError, match="p1/one.dcm and .*p1/two.dcm belong to the same one"):
        dicom_slices(images, labels)
    (dicom.folder / "p1" / "two.dcm").unlink()
    dicom.save_segmentation("p1/lone.dcm", other, [(1, 1, LARGE)])
    with pytest.raises(ValueError, match="refer to series in .*, but got .*lone.dcm of 2"):
        dicom_slices(images, labels)
    with pytest.raises(ValueError, match="but got none of 0"):
        dicom_slices(images, f"{dicom.folder}/p1/ct/*.dcm")


def save_label(folder: Path) -> None:
    affine = np.array([[-0.8, 0, 0, 30], [0, 0.5, 0, 20 - 13 * 0.5], [0, 0, 2.5, -40], [0, 0, 0, 1]])
    label = np.zeros(VOXELS.shape, dtype=np.uint8)
    label[2:9, 3:11, 1:4] = 1
    nibabel.save(nibabel.Nifti1Image(label[:, ::-1], affine), folder / "label.nii.gz")  # as dcm2niix turns rows


def test_a_label_volume_on_the_same_grid_belongs_to_the_folder_that_its_wildcards_name(dicom: Any) -> None:
    for patient in ("p1", "p2", "p3"):
        dicom.save_series(f"{patient}/ct", VOXELS)
        save_label(dicom.folder / patient)
    patterns = f"{dicom.folder}/*", f"{dicom.folder}/*/label.nii.gz"
    sample = dicom_slices(*patterns)[0]
    rows, columns = (values.unique() for values in sample.masks[0].nonzero(as_tuple=True))
    assert (int(columns[0]), int(columns[-1])) == (round(2 * 1.6), round(9 * 1.6) - 1) and int(rows[0]) == 3
    splits = dicom_splits(*patterns, split=GroupSplit(val=["p2"], test=["p3"]))
    assert [sample.name for sample in splits.val] == [f"p2_axial_00{index}" for index in (1, 2, 3)]
    (dicom.folder / "p2" / "label.nii.gz").unlink()
    with pytest.raises(ValueError, match="p2 has no label"):
        dicom_slices(*patterns)


def test_one_of_several_series_is_chosen_by_its_description(dicom: Any) -> None:
    dicom.save_series("p1/a", VOXELS, SeriesDescription="Portal venous 2.5")
    dicom.save_series("p1/b", VOXELS[:, :, :2], SeriesDescription="Scout")
    save_label(dicom.folder / "p1")
    patterns = f"{dicom.folder}/p1", f"{dicom.folder}/p1/label.nii.gz"
    with pytest.raises(ValueError, match="one series in .*p1, but got 2 series: .*'Portal venous 2.5'.*'Scout'"):
        dicom_slices(*patterns)
    assert len(dicom_slices(*patterns, series="portal")) == 3
    with pytest.raises(ValueError, match="description has 'arterial' in it in .*p1, but got 2 series"):
        dicom_slices(*patterns, series="arterial")
    with pytest.raises(ValueError, match=r"`series` to be a regular expression, but got '\('"):
        dicom_slices(*patterns, series="(")


def test_series_of_one_patient_in_two_folders_stay_in_one_part(dicom: Any) -> None:
    for folder in ("x1", "x2", "x3", "x4"):
        dicom.save_series(f"{folder}/ct", VOXELS, PatientID="same" if folder in ("x1", "x2") else folder)
        save_label(dicom.folder / folder)
    patterns = f"{dicom.folder}/*/ct", f"{dicom.folder}/*/label.nii.gz"
    splits = dicom_splits(*patterns, split=GroupSplit(val=["same"], test=["x3"]))
    assert {sample.name[:2] for sample in splits.val} == {"x1", "x2"}
    splits = dicom_splits(*patterns, split=GroupSplit(val=["x1"], test=["x3"]), group="(x[0-9])/")
    assert {sample.name[:2] for sample in splits.val} == {"x1"}


def test_the_window_of_the_files_is_used_if_asked_for(dicom: Any) -> None:
    dicom.save_series("p1/ct", VOXELS, WindowCenter=[500.5, 40], WindowWidth=[1001, 400])
    dicom.save_series("p2/ct", VOXELS, PatientID="p2")
    for patient in ("p1", "p2"):
        save_label(dicom.folder / patient)
    images, labels = f"{dicom.folder}/p1", f"{dicom.folder}/p1/label.nii.gz"
    by_file, by_hand = (dicom_slices(images, labels, window=window)[0] for window in ("file", (500, 1000)))
    assert by_file.image.equal(by_hand.image) and by_file.image.float().std() > 10
    with pytest.raises(ValueError, match="p2 to ask for a window, as window=file says"):
        dicom_slices(f"{dicom.folder}/*", f"{dicom.folder}/*/label.nii.gz", window="file")


def test_a_file_that_is_written_while_it_is_in_use_is_refused(dicom: Any) -> None:
    paths = dicom.save_series("p1/ct", VOXELS)
    save_label(dicom.folder / "p1")
    dataset = dicom_slices(f"{dicom.folder}/p1", f"{dicom.folder}/p1/label.nii.gz")
    assert dataset[0].image.shape[2] == 3
    paths[0].write_bytes(paths[0].read_bytes() + b"\0\0")
    with pytest.raises(ValueError, match=f"{paths[0]} as it was when"):
        dataset[0]
