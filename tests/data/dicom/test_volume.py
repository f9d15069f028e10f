from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless

from sam_ft.data.dicom.cases import SeriesChoice
from sam_ft.data.dicom.parts import dicom_slices
from sam_ft.data.dicom.volume import DicomVolume
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.nifti.writing import write_label_volume

VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 7, 5)).astype(np.int16)
LABEL = np.zeros((6, 7, 5), dtype=np.uint8)
LABEL[1:5, 2:6, 1:4] = 3


def volume_of(folder: Path) -> DicomVolume:
    return DicomVolume.of(SeriesChoice().only(folder))


def values(folder: Path) -> np.ndarray:
    """(columns, rows, slices) as they count after slope and intercept."""
    volume = volume_of(folder)
    return volume.scaling(volume.read())


def tilted(angles: tuple[float, float, float], axes: str) -> np.ndarray:
    affine = np.eye(4)
    for column, (code, spacing) in enumerate(zip(axes, (0.7, 1.1, 2.3), strict=True)):
        row, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}[code]
        affine[:3, column] = np.eye(3)[row] * sign * spacing
    affine[:3, :3] = nibabel.eulerangles.euler2mat(*np.radians(angles)) @ affine[:3, :3]
    affine[:3, 3] = [11.0, -23.0, 47.0]
    return affine


@pytest.mark.parametrize("axes", ["LPS", "LPI", "RAS", "PSL", "LSP", "AIR"])
@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (7.0, -11.0, 20.0)])
@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_a_series_shows_the_same_pictures_and_objects_as_the_nifti_file_of_the_same_volume(
    dicom: Any, axes: str, angles: tuple[float, float, float], axis: str
) -> None:
    affine = tilted(angles, axes)
    dicom.save_series("a/ct", VOXELS, affine, RescaleSlope=1, RescaleIntercept=-1024)
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(np.int32) - 1024, affine), dicom.folder / "a/image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(LABEL, affine), dicom.folder / "a/label.nii.gz")
    shared = {"axis": axis, "window": (0, 1000)}
    expected = list(NiftiSlices(f"{dicom.folder}/*/image.nii.gz", f"{dicom.folder}/*/label.nii.gz", **shared))
    got = list(dicom_slices(f"{dicom.folder}/*/ct", f"{dicom.folder}/*/label.nii.gz", **shared))
    assert expected and len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.name == other.name and one.class_names == other.class_names == ("label_3",)
        assert one.image.equal(other.image) and one.masks.equal(other.masks)
        assert one.pixel_mm == pytest.approx(other.pixel_mm)


def test_the_affine_is_in_millimetres_to_the_right_the_front_and_the_head(dicom: Any) -> None:
    dicom.save_series("ct", VOXELS)
    volume = volume_of(dicom.folder)
    grid = volume.grid("axial")
    # The first pixel of the lowest slice is at 30 mm right, 20 mm front, 40 mm below: ImagePositionPatient -30 -20 -40.
    assert grid.affine[:3, 3] == pytest.approx([30, 20, -40])
    assert np.diag(grid.affine)[:3] == pytest.approx([-0.8, -0.5, 2.5])
    assert grid.shape == (6, 7, 5) and grid.slice_distance_mm == pytest.approx(2.5)
    assert np.array_equal(volume.read(), VOXELS)


@pytest.mark.parametrize(
    "dtype, scaling", [(np.int16, (1, -1024)), (np.uint16, (1, -1024)), (np.uint8, (2, 0)), (np.int16, (0.5, 3))]
)
def test_slope_and_intercept_count_for_signed_and_unsigned_numbers(
    dicom: Any, dtype: type, scaling: tuple[float, float]
) -> None:
    stored = (VOXELS % 200).astype(dtype)
    stored[0, 0, 0] = np.iinfo(dtype).max
    if dtype is np.int16:
        stored[1, 0, 0] = -2000
    dicom.save_series("ct", stored, RescaleSlope=scaling[0], RescaleIntercept=scaling[1])
    assert np.array_equal(values(dicom.folder), stored.astype(np.float64) * scaling[0] + scaling[1])


def test_every_slice_of_a_pet_has_a_slope_of_its_own(dicom: Any) -> None:
    def change(index: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.25 * (index + 1), 0

    dicom.save_series("pet", VOXELS, change=change)
    assert np.array_equal(values(dicom.folder), VOXELS * (0.25 * np.arange(1, 6)))


@pytest.mark.parametrize("signed", [False, True])
def test_bits_beyond_the_stored_ones_do_not_count(dicom: Any, signed: bool) -> None:
    numbers = (VOXELS - 1000) if signed else VOXELS
    stored = (numbers.astype(np.uint16) & 0x0FFF) | (0x5000 if not signed else 0)  # an overlay; no sign in 12 bits
    dicom.save_series("ct", stored, BitsStored=12, HighBit=11, PixelRepresentation=int(signed))
    assert np.array_equal(values(dicom.folder), numbers)


def test_compressed_slices_are_decoded(dicom: Any) -> None:
    for path in dicom.save_series("ct", VOXELS):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    assert np.array_equal(values(dicom.folder), VOXELS)


def test_a_compression_that_nothing_installed_can_undo_is_named_with_what_helps(dicom: Any) -> None:
    for path in dicom.save_series("ct", VOXELS):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.save_as(path)
    with pytest.raises(ValueError, match=r"003\.dcm, but they are JPEG-LS.*pylibjpeg"):
        volume_of(dicom.folder)


def test_the_frames_of_an_enhanced_object_are_slices(dicom: Any) -> None:
    series = dicom.save_series("ct", VOXELS, RescaleSlope=2, RescaleIntercept=-7)
    dicom.save_multi_frame("enhanced/one.dcm", series)
    volume = volume_of(dicom.folder / "enhanced")
    assert np.array_equal(volume.scaling(volume.read()), VOXELS.astype(float) * 2 - 7)
    assert np.allclose(volume.grid("axial").affine, volume_of(dicom.folder / "ct").grid("axial").affine)


def test_a_single_slice_is_as_thick_as_it_says(dicom: Any) -> None:
    dicom.save_series("ct", VOXELS[..., :1])
    assert volume_of(dicom.folder).grid("axial").slice_distance_mm == pytest.approx(2.5)


def shift(place: int, *, by: tuple[float, float, float]) -> Any:
    def change(index: int, dataset: Dataset) -> None:
        if index == place:
            dataset.ImagePositionPatient = list(np.add(dataset.ImagePositionPatient, by))

    return change


def tilt(index: int, dataset: Dataset) -> None:
    dataset.ImagePositionPatient = list(np.add(dataset.ImagePositionPatient, (0, 0.5 * index, 0)))


def element(place: int, **elements: Any) -> Any:
    def change(index: int, dataset: Dataset) -> None:
        if index == place:
            for key, value in elements.items():
                setattr(dataset, key, value)

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (shift(2, by=(0, 0, 2.5)), r"017.dcm and .*024.dcm lie at the same one \(1 such pairs\)"),
        (shift(4, by=(0, 0, 2.5)), r"none lies in the 5 mm between .*024.dcm and .*031.dcm: slices are missing"),
        (shift(2, by=(0, 0, 0.5)), r"even distances .* from 2 to 3 mm; .*017.dcm lies 0.2 slices"),
        (shift(2, by=(0, 3, 0)), r"straight above each other, but .*017.dcm is shifted by 3 mm"),
        (tilt, r"003.dcm to .*031.dcm they run 11.3 degrees aslant \(gantry tilt\)"),
        (element(3, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), r"direction of rows .*024.dcm"),
        (element(3, PixelSpacing=[0.5, 0.9]), r"PixelSpacing .*024.dcm \[0.5, 0.9\]"),
        (element(3, ImagePositionPatient=None), r"024.dcm, but it has no ImagePositionPatient"),
        (element(3, ImageOrientationPatient=None), r"024.dcm, but it has no ImageOrientationPatient"),
        (element(3, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), r"024.dcm, but .* no two unit vectors"),
        (element(3, PixelSpacing=[0, 1]), r"024.dcm, but PixelSpacing is \[0.0, 1.0\]"),
        (element(3, PhotometricInterpretation="MONOCHROME1"), r"024.dcm, but its pixels are MONOCHROME1"),
        (element(3, Rows=70), r"024.dcm, but its header claims 840 bytes"),
        (element(3, BitsStored=17), r"024.dcm, but it has 17 bits"),
        (element(3, NumberOfFrames=2, Rows=3), r"024.dcm, but it has 2 frames without a place for each"),
        (element(3, SeriesInstanceUID=""), r"024.dcm, but it does not say its"),
        (element(3, SeriesInstanceUID="1.2.3"), r"one series in .*ct, but got 2 series"),
    ],
)
def test_what_is_no_regular_volume_is_refused_by_file_and_reason(dicom: Any, change: Any, message: str) -> None:
    dicom.save_series("ct", VOXELS, change=change)
    with pytest.raises(ValueError, match=message):
        volume_of(dicom.folder / "ct")


def test_pixels_that_are_missing_or_too_few_are_refused_when_they_are_read(dicom: Any) -> None:
    paths = dicom.save_series("ct", np.zeros((60, 60, 3), dtype=np.int16))
    dataset = pydicom.dcmread(paths[1])
    dataset.PixelData = dataset.PixelData[:-100]
    dataset.ImageComments = "x" * 400
    dataset.save_as(paths[1])
    volume = volume_of(dicom.folder)
    with pytest.raises(ValueError, match=f"pixels that can be decoded in {paths[1]}, but"):
        volume.read()


def test_other_files_are_passed_over_and_a_false_dcm_is_named(dicom: Any) -> None:
    dicom.save_series("ct", VOXELS)
    (dicom.folder / "ct" / "notes.txt").write_text("for later")
    (dicom.folder / "ct" / ".hidden.dcm").write_text("")
    assert np.array_equal(values(dicom.folder), VOXELS)
    (dicom.folder / "ct" / "false.dcm").write_text("not DICOM at all")
    with pytest.raises(ValueError, match="false.dcm, but it is no DICOM file"):
        volume_of(dicom.folder)
    (dicom.folder / "ct" / "false.dcm").write_text("")
    with pytest.raises(ValueError, match="false.dcm, but it is empty"):
        volume_of(dicom.folder)


def test_a_copy_of_a_slice_is_named(dicom: Any) -> None:
    paths = dicom.save_series("ct", VOXELS)
    shutil.copy(paths[0], dicom.folder / "ct" / "copy.dcm")
    with pytest.raises(ValueError, match="003.dcm and .*copy.dcm are the same one"):
        volume_of(dicom.folder)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom
def test_a_damaged_header_is_a_clear_error_or_still_the_same_series(dicom: Any) -> None:
    path = dicom.save_series("ct", VOXELS[..., :1])[0]
    content, random = path.read_bytes(), np.random.default_rng(0)
    refused = unnamed = 0
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(128, len(content) - 100, 3):
            damaged[place] = random.integers(256)
        path.write_bytes(bytes(damaged[: random.integers(140, len(content))] if random.random() < 0.3 else damaged))
        try:
            values(dicom.folder)
        except ValueError as err:
            refused += str(dicom.folder) in str(err)
            unnamed += str(dicom.folder) not in str(err)
    assert refused > 50 and unnamed == 0


def test_predictions_are_written_onto_the_grid_of_the_series(dicom: Any, tmp_path: Path) -> None:
    dicom.save_series("a/ct", VOXELS)
    grid = volume_of(dicom.folder / "a").grid("coronal")
    canonical = grid.to_canonical(LABEL)
    pictures = {
        index: grid.labels_to_picture(np.ascontiguousarray(grid.cut(canonical, index)))
        for index in range(grid.num_slices)
    }
    written = nibabel.load(write_label_volume(tmp_path / "label.nii.gz", pictures, grid=grid))
    assert np.array_equal(np.asanyarray(written.dataobj), LABEL)
    assert np.allclose(written.affine, grid.affine) and written.header.get_xyzt_units()[0] == "mm"
    assert len(dicom_slices(f"{dicom.folder}/a", f"{tmp_path}/label.nii.gz")) == 3


def test_a_missing_pydicom_is_one_line_that_says_what_to_install(dicom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom.save_series("ct", VOXELS)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ValueError, match=r'pydicom.*pip install "sam-ft\[dicom\]"'):
        volume_of(dicom.folder)
