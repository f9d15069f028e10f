from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.evaluation.volumes.answers import segment_with_boxes

Model = Callable[..., Any]
LPS = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 12], [0, 0, 3.0, -7], [0, 0, 0, 1]])
PERMUTED = np.array([[0, 0, 2.0, 1], [3.0, 0, 0, 2], [0, -2.0, 0, 5], [0, 0, 0, 1]])  # axes A, I, R


def save_case(folder: Path, label: np.ndarray, affine: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=label.shape).astype(np.float32), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"a scan"
    image.set_sform(affine, code=2)
    nibabel.save(image, folder / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, affine), folder / "label.nii.gz")


def slices_of(folder: Path, *, axis: str = "axial", **rule: Any) -> NiftiSlices:
    return NiftiSlices(
        str(folder / "image.nii.gz"),
        str(folder / "label.nii.gz"),
        axis=axis,
        objects=ObjectRule(min_area_px=1, **rule),
    )


def blocks(shape: tuple[int, int, int]) -> np.ndarray:
    """Two boxes of the labels 1 and 3, neither in the middle nor equal to its mirror image."""
    label = np.zeros(shape, dtype=np.uint8)
    label[2:9, 3:7, 1:4] = 1
    label[10:14, 2:13, 2:5] = 3
    return label


@pytest.mark.parametrize(
    "affine, axis",
    [(LPS, "axial"), (np.diag([2.0, 2, 2, 1]), "coronal"), (PERMUTED, "sagittal"), (PERMUTED, "coronal")],
)
def test_the_answer_lies_on_the_grid_of_the_source(
    box_model: Model, tmp_path: Path, affine: np.ndarray, axis: str
) -> None:
    """A model that fills boxes is right on boxes, so that the answer is the label, voxel by voxel."""
    label = blocks((20, 16, 6))
    save_case(tmp_path, label, affine)
    slices = slices_of(tmp_path, axis=axis)
    sides = {side for entry in slices.entries for side in slices.picture(entry).shape[:2]}
    path = segment_with_boxes(box_model(image_size=max(sides)), slices, tmp_path / "out" / "answer.nii.gz")
    written, source = nibabel.load(path), nibabel.load(tmp_path / "image.nii.gz")
    assert np.array_equal(written.affine, source.affine)
    assert written.shape == source.shape
    for field in ("pixdim", "sform_code", "qform_code", "xyzt_units", "descrip"):
        assert np.array_equal(written.header[field], source.header[field]), field
    assert written.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(written.dataobj), label)


def test_only_the_given_slices_are_answered(box_model: Model, tmp_path: Path) -> None:
    label = blocks((20, 16, 6))
    save_case(tmp_path, label, LPS)
    slices = slices_of(tmp_path).only(lambda entry: entry.index == 2)
    answer = np.asarray(nibabel.load(segment_with_boxes(box_model(), slices, tmp_path / "a.nii.gz")).dataobj)
    assert [bool(answer[:, :, index].any()) for index in range(6)] == [False, False, True, False, False, False]
    assert set(np.unique(answer)) == {0, 1, 3}


@pytest.mark.parametrize("winner", [1, 3])
def test_a_voxel_that_two_objects_claim_goes_to_the_higher_logit(box_model: Model, tmp_path: Path, winner: int) -> None:
    """The boxes grow by two voxels and overlap; the narrow object is label 3 or the wide one, label 1, is surer."""
    label = np.zeros((20, 16, 1), dtype=np.uint8)
    label[2:9, 3:9] = 1  # 7 wide as pictures show it
    label[9:13, 3:9] = 3  # 4 wide
    save_case(tmp_path, label, np.diag([1.0, 1, 1, 1]))
    wide_wins = winner == 1
    model = box_model(image_size=20, margin=2, strength=lambda width: 9.0 if (width > 5) == wide_wins else 4.0)
    path = segment_with_boxes(model, slices_of(tmp_path), tmp_path / "answer.nii.gz")
    answer = np.asarray(nibabel.load(path).dataobj)[:, :, 0]
    assert (answer[7:11, 5] == winner).all()  # claimed by both
    assert (answer[0:7, 5] == 1).all() and (answer[11:15, 5] == 3).all()


def test_unions_of_classes_are_not_written(box_model: Model, tmp_path: Path) -> None:
    label = blocks((20, 16, 6))
    save_case(tmp_path, label, LPS)
    slices = slices_of(tmp_path, classes={"one": 1, "three": [3], "both": [1, 3]})
    path = segment_with_boxes(box_model(), slices, tmp_path / "answer.nii.gz")
    assert np.array_equal(np.asarray(nibabel.load(path).dataobj), label)


def test_slices_of_several_volumes_are_refused(box_model: Model, tmp_path: Path) -> None:
    for case in "ab":
        save_case(tmp_path / case, blocks((20, 16, 6)), LPS)
    slices = NiftiSlices(str(tmp_path / "*" / "image.nii.gz"), str(tmp_path / "*" / "label.nii.gz"))
    with pytest.raises(ValueError, match="one volume, but got those of 2"):
        segment_with_boxes(box_model(), slices, tmp_path / "answer.nii.gz")
    assert not (tmp_path / "answer.nii.gz").exists()


def test_what_cannot_be_written_is_refused_before_the_model_is_asked(tmp_path: Path) -> None:
    save_case(tmp_path, blocks((20, 16, 6)), LPS)
    asked_never: Any = None
    with pytest.raises(ValueError, match=r"ending in .nii or .nii.gz, but got .*answer.mha"):
        segment_with_boxes(asked_never, slices_of(tmp_path), tmp_path / "answer.mha")
    with pytest.raises(ValueError, match="unions alone"):
        segment_with_boxes(asked_never, slices_of(tmp_path, classes={"both": [1, 3]}), tmp_path / "answer.nii")
