from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.nifti.writing import save_volume, write_label_volume
from sam_ft.data.volumes.grid import PLANES, SliceGrid
from sam_ft.data.volumes.objects import ObjectRule


@pytest.fixture
def grid(nifti: Any) -> SliceGrid:
    affine = nifti.affine("PSR", spacing_mm=(1, 2, 3))
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), dtype=np.float32), affine)
    image.set_qform(affine, code=2)
    image.set_sform(affine, code=1)
    image.header["cal_max"] = 800
    image.header["descrip"] = b"scanner"
    nibabel.save(image, nifti.folder / "image.nii.gz")
    return SliceGrid(path=nifti.folder / "image.nii.gz", shape=(4, 5, 6), affine=affine, plane="axial")


def test_slices_that_are_not_given_become_background(grid: SliceGrid, nifti: Any) -> None:
    picture = np.full(grid.picture_size, 3)
    path = write_label_volume(nifti.folder / "out.nii.gz", {1: picture}, grid=grid)
    canonical = nibabel.as_closest_canonical(nibabel.load(path))
    labels = np.asanyarray(canonical.dataobj)
    assert (labels[:, :, 1] == 3).all() and labels.sum() == 3 * labels[:, :, 1].size


def test_the_header_says_where_the_source_lies_and_nothing_of_its_intensities(grid: SliceGrid, nifti: Any) -> None:
    path = write_label_volume(nifti.folder / "out.nii", {0: np.ones(grid.picture_size, dtype=bool)}, grid=grid)
    written, source = nibabel.load(path), nibabel.load(grid.path)
    assert np.array_equal(written.get_qform(), source.get_qform())
    assert int(written.header["qform_code"]) == 2 and int(written.header["sform_code"]) == 1
    assert written.get_data_dtype() == np.uint8 and written.header["cal_max"] == 0
    assert written.dataobj.slope == 1 and written.dataobj.inter == 0


def test_a_series_as_source_gives_a_single_volume(nifti: Any) -> None:
    source = nifti.save("series.nii.gz", np.zeros((4, 5, 6, 2), dtype=np.int16), nifti.affine("LAS"))
    labels = np.arange(120, dtype=np.uint8).reshape(4, 5, 6)
    written = nibabel.load(save_volume(nifti.folder / "out.nii.gz", labels, like=source))
    assert np.array_equal(np.asanyarray(written.dataobj), labels)


def test_what_is_no_label_map_is_refused_and_leaves_nothing_behind(grid: SliceGrid, nifti: Any) -> None:
    target = nifti.folder / "out" / "labels.nii.gz"
    for picture, message in (
        (np.full(grid.picture_size, 0.5), "integer labels in slice 0"),
        (np.full(grid.picture_size, -1), "0 and above"),
        (np.zeros((2, 2), dtype=np.uint8), "slice of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            write_label_volume(target, {0: picture}, grid=grid)
    with pytest.raises(ValueError, match="got 6"):
        write_label_volume(target, {6: np.zeros(grid.picture_size, dtype=np.uint8)}, grid=grid)
    with pytest.raises(ValueError, match="ending in .nii or .nii.gz"):
        write_label_volume(nifti.folder / "labels.mha", {}, grid=grid)
    assert not target.exists() and [path.name for path in nifti.folder.iterdir()] == ["image.nii.gz"]


@settings(max_examples=25, deadline=None)
@given(
    axes=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    tilt=st.tuples(*[st.floats(-8, 8)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 4)] * 3),
    plane=st.sampled_from(list(PLANES)),
)
def test_any_orientation_shows_the_same_pictures_and_writes_back_its_own_label(
    tmp_path_factory: pytest.TempPathFactory,
    axes: list[int],
    flips: tuple[bool, bool, bool],
    tilt: tuple[float, float, float],
    spacing: tuple[float, float, float],
    plane: str,
) -> None:
    folder = tmp_path_factory.mktemp("orientation")
    random = np.random.default_rng(0)
    image = random.integers(-500, 900, (4, 5, 6)).astype(np.int16)
    label = (random.random((4, 5, 6)) > 0.6).astype(np.uint8)
    affine = np.eye(4)
    affine[:3, :3] = nibabel.eulerangles.euler2mat(*np.radians(tilt)) * spacing  # oblique, nearly RAS
    orientation = np.array([[axis, -1 if flip else 1] for axis, flip in zip(axes, flips, strict=True)])
    for case, stored in (("ras", np.array([[0, 1], [1, 1], [2, 1]])), ("turned", orientation)):
        (folder / case).mkdir()
        placed = affine @ nibabel.orientations.inv_ornt_aff(stored, image.shape)
        for name, voxels in (("image", image), ("label", label)):
            turned = nibabel.orientations.apply_orientation(voxels, stored)
            nibabel.save(nibabel.Nifti1Image(turned, placed), folder / case / f"{name}.nii.gz")
    patterns = f"{folder}/*/image.nii.gz", f"{folder}/*/label.nii.gz"
    dataset = NiftiSlices(*patterns, axis=plane, objects=ObjectRule(min_area_px=1))
    half = len(dataset) // 2
    for number in range(half):
        ras, other = dataset[number], dataset[half + number]
        assert np.array_equal(ras.image, other.image) and np.array_equal(ras.masks, other.masks)
    for number, volume in enumerate(dataset.volumes):
        pictures = {
            entry.index: dataset[place].masks[0].numpy()
            for place, entry in enumerate(dataset.entries)
            if entry.volume == number
        }
        written = nibabel.load(write_label_volume(folder / "out.nii.gz", pictures, grid=volume.grid))
        source = nibabel.load(volume.label.path)
        assert np.array_equal(np.asanyarray(written.dataobj), np.asanyarray(source.dataobj))
        assert np.array_equal(written.affine, source.affine)
