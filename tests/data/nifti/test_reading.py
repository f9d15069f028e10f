from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sam_ft.data.nifti.reading import grid_of, load_medical_image, open_volume, read_labels
from sam_ft.data.volumes.grid import SliceGrid


def grid_at(path: Path) -> SliceGrid:
    return grid_of(open_volume(path), path=path, plane="axial")


def test_float_labels_next_to_integers_are_rounded(nifti: Any) -> None:
    path = nifti.save("label.nii.gz", np.array([[[0.0, 0.9999997], [2.0004, 3.0]]], dtype=np.float32))
    labels = read_labels(path, image_grid=grid_at(path))
    assert labels.tolist() == [[[0, 1], [2, 3]]] and labels.dtype == np.uint8


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_labels_that_are_no_integers_are_refused(nifti: Any, value: float) -> None:
    path = nifti.save("label.nii.gz", np.array([[[0.0, value]]], dtype=np.float32))
    with pytest.raises(ValueError, match=r"integer labels in .*label.nii.gz, but got (0.5|nan|inf)"):
        read_labels(path, image_grid=grid_at(path))


def test_negative_labels_are_refused(nifti: Any) -> None:
    path = nifti.save("label.nii.gz", np.array([[[0, -1]]], dtype=np.int16))
    with pytest.raises(ValueError, match="got -1"):
        read_labels(path, image_grid=grid_at(path))


def test_large_label_values_keep_their_value(nifti: Any) -> None:
    path = nifti.save("label.nii.gz", np.array([[[0, 70_000]]], dtype=np.int32))
    assert read_labels(path, image_grid=grid_at(path)).tolist() == [[[0, 70_000]]]


def test_a_series_needs_a_volume_index(nifti: Any) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 2, 2, 3)
    path = nifti.save("series.nii.gz", voxels)
    with pytest.raises(ValueError, match=r"series.nii.gz.*\(2, 2, 2, 3\).*volume_index=0 ... 2"):
        load_medical_image(path)
    with pytest.raises(ValueError, match="from 0 to 2"):
        load_medical_image(path, volume_index=3)
    assert sorted(load_medical_image(path, volume_index=1).ravel()) == sorted(voxels[..., 1].ravel())


def test_a_fourth_dimension_of_one_is_no_series(nifti: Any) -> None:
    path = nifti.save("image.nii.gz", np.ones((2, 3, 4, 1), dtype=np.int16))
    assert load_medical_image(path).shape == (4, 3, 2)


def test_medical_image_is_axial_raw_and_turned_as_shown(nifti: Any) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4) - 1000
    path = nifti.save("ct.nii.gz", voxels, nifti.affine("RAS", spacing_mm=(1, 3, 2)))
    image = load_medical_image(str(path))
    assert image.shape == (4, 3, 2) and image.dtype == np.int16
    assert image[0, 0, 0] == voxels[1, 2, 0]  # rightmost, most anterior, lowest
    assert image[3, -1, -1] == voxels[0, 0, 3]


def test_intercept_and_slope_of_the_file_count(nifti: Any) -> None:
    image = nibabel.Nifti1Image(np.array([[[0, 10]]], dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(2, -1000)
    nibabel.save(image, nifti.folder / "scaled.nii")
    assert load_medical_image(nifti.folder / "scaled.nii").ravel().tolist() == [-1000, -980]


@pytest.mark.parametrize("content", [b"", b"not a volume", b"\x1f\x8b broken gzip"])
def test_a_file_that_is_no_volume_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken.nii.gz"):
        load_medical_image(path)


def test_a_truncated_file_is_named(nifti: Any) -> None:
    path = nifti.save("cut.nii.gz", np.random.default_rng(0).integers(0, 9999, (20, 20, 20)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut.nii.gz.*damaged"):
        load_medical_image(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere.nii.gz.*no such file"):
        load_medical_image(tmp_path / "nowhere.nii.gz")


def test_a_picture_instead_of_a_volume_is_refused(nifti: Any) -> None:
    with pytest.raises(ValueError, match="3 dimensions"):
        load_medical_image(nifti.save("flat.nii.gz", np.zeros((4, 4), dtype=np.int16)))
