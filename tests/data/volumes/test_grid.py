from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_ft.data.nifti.writing import write_label_volume
from sam_ft.data.volumes.grid import PLANES, SliceGrid, refuse_other_grid

ORIENTATIONS = [
    "".join(codes)
    for axes in permutations((("R", "L"), ("A", "P"), ("S", "I")))
    for codes in product(*axes)
]  # fmt: skip
SHAPE = (3, 4, 5)


def grid(affine: np.ndarray, *, plane: str = "axial", shape: tuple[int, int, int] = SHAPE) -> SliceGrid:
    return SliceGrid(path=Path("volume.nii.gz"), shape=shape, affine=affine, plane=plane)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_slices_cut_from_any_orientation_write_back_the_same_file(axes: str, nifti: Any) -> None:
    labels = np.random.default_rng(0).integers(0, 300, SHAPE).astype(np.int16)
    source = nifti.save("label.nii.gz", labels, nifti.affine(axes, spacing_mm=(0.5, 2.0, 1.3)))
    for plane in PLANES:
        this = SliceGrid(path=source, shape=SHAPE, affine=nibabel.load(source).affine, plane=plane)
        canonical = this.to_canonical(labels)
        pictures = {index: this.labels_to_picture(this.cut(canonical, index)) for index in range(this.num_slices)}
        written = nibabel.load(write_label_volume(nifti.folder / f"{plane}.nii.gz", pictures, grid=this))
        assert np.array_equal(np.asanyarray(written.dataobj), labels)
        assert np.array_equal(written.affine, nibabel.load(source).affine)
        assert written.get_data_dtype() == np.uint16


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.floats(0.2, 9)] * 3), st.sampled_from(list(PLANES)))
def test_labels_survive_square_pixels_and_back(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], plane: str
) -> None:
    this = grid(np.diag([*spacing, 1.0]), plane=plane, shape=shape)
    labels = np.arange(np.prod(this.plane_size)).reshape(this.plane_size)
    picture = this.labels_to_picture(labels)
    assert picture.shape == this.picture_size
    assert np.array_equal(this.labels_to_plane(picture), labels)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PSR", "PLI", "SAL"])
def test_slices_are_shown_by_the_radiological_convention(axes: str, nifti: Any) -> None:
    right, anterior, superior = np.meshgrid(np.arange(4), np.arange(5), np.arange(6), indexing="ij")
    affine = nifti.affine(axes)

    def stored(canonical: np.ndarray) -> np.ndarray:
        back = nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(axes)
        )
        return nibabel.orientations.apply_orientation(canonical, back)

    def slice_of(canonical: np.ndarray, plane: str) -> np.ndarray:
        volume = stored(canonical)
        this = grid(affine, plane=plane, shape=volume.shape)
        return this.cut(this.to_canonical(volume), 2)

    axial = {name: slice_of(world, "axial") for name, world in (("r", right), ("a", anterior), ("s", superior))}
    assert (axial["s"] == 2).all() and axial["a"][0, 0] == 4 and axial["r"][0, 0] == 3  # anterior up, right on left
    assert axial["a"][-1, 0] == 0 and axial["r"][0, -1] == 0
    assert (slice_of(anterior, "coronal") == 2).all()
    assert slice_of(superior, "coronal")[0, 0] == 5 and slice_of(right, "coronal")[0, 0] == 3
    assert (slice_of(right, "sagittal") == 2).all()
    assert slice_of(superior, "sagittal")[0, 0] == 5 and slice_of(anterior, "sagittal")[0, 0] == 4


def test_anisotropic_planes_get_square_pixels_at_the_finer_spacing() -> None:
    this = grid(np.diag([0.5, 0.5, 7.5, 1.0]), plane="coronal", shape=(20, 30, 9))
    assert this.plane_size == (9, 20)
    assert this.picture_size == (135, 20)
    assert this.pixel_mm == pytest.approx((0.5, 0.5))
    assert this.slice_distance_mm == 0.5


def test_an_image_with_square_pixels_is_left_as_it_is() -> None:
    this = grid(np.diag([0.8, 0.8001, 3.0, 1.0]))
    plane = np.random.default_rng(0).integers(0, 256, this.plane_size).astype(np.uint8)
    assert np.array_equal(this.image_to_picture(plane), plane)


def test_unknown_axis_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="sagittal, coronal, axial.*'transversal'"):
        grid(np.eye(4), plane="transversal")


def test_a_slice_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 4.*got 5"):
        grid(np.eye(4)).cut(np.zeros(SHAPE), 5)


def test_a_grid_within_a_hundredth_of_a_voxel_is_the_same() -> None:
    moved = np.diag([2.0, 2.0, 2.0, 1.0])
    moved[0, 3] = 0.018  # 0.009 voxels
    refuse_other_grid(grid(np.diag([2.0, 2.0, 2.0, 1.0])), grid(moved))


def test_a_shifted_grid_is_refused_with_the_distance_in_voxels() -> None:
    moved = np.diag([2.0, 2.0, 2.0, 1.0])
    moved[0, 3] = 0.5
    with pytest.raises(ValueError, match="corner voxels lie 0.25 voxels apart"):
        refuse_other_grid(grid(np.diag([2.0, 2.0, 2.0, 1.0])), grid(moved))


def test_a_grid_that_differs_in_spacing_alone_is_refused_by_its_far_corners() -> None:
    with pytest.raises(ValueError, match="0.04 voxels apart"):
        refuse_other_grid(grid(np.eye(4)), grid(np.diag([1.0, 1.0, 1.01, 1.0])))


def test_a_flipped_grid_of_the_same_shape_is_refused_and_both_orientations_named(nifti: Any) -> None:
    with pytest.raises(ValueError, match="image axes LPS, label axes LAS"):
        refuse_other_grid(grid(nifti.affine("LPS")), grid(nifti.affine("LAS")))


def test_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"label \(3, 4, 6\), image \(3, 4, 5\)"):
        refuse_other_grid(grid(np.eye(4)), grid(np.eye(4), shape=(3, 4, 6)))
