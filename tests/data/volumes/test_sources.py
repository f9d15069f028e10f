from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_ft.data.nifti.reading import grid_of, open_volume, read_voxels
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.nifti.volume import NiftiVolume
from sam_ft.data.volumes.grid import PLANES, SliceGrid, extent
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.sources import ImageSource
from sam_ft.transforms import foreground_mask, percentile_range

TYPES = ["u1", "i1", "<i2", ">i2", "<u2", "<i4", "<i8", "<f4", ">f4", "<f8"]


def save(
    path: Path,
    *,
    dtype: str = "<i2",
    scaling: tuple[float, float] = (1.0, 0.0),
    shape: tuple[int, ...] = (5, 6, 7),
    kind: type = nibabel.Nifti1Image,
    affine: np.ndarray | None = None,
) -> None:
    """Random numbers, stored as they are in `dtype`, with this slope and intercept in the header."""
    random = np.random.default_rng(0)
    stored = (random.standard_normal(shape) * 40).astype(dtype)
    header = kind.header_class(endianness=">" if dtype.startswith(">") else "<")
    image = kind(stored, np.eye(4) if affine is None else affine, header=header)
    image.set_data_dtype(np.dtype(dtype))
    image.header.set_slope_inter(*scaling)
    image.to_filename(path)


def source_of(path: Path, *, plane: str, volume_index: int | None = None) -> ImageSource:
    image = open_volume(path)
    return ImageSource(
        grid_of(image, path=path, plane=plane), NiftiVolume.of(image, path=path, volume_index=volume_index)
    )


def by_nibabel(path: Path, grid: SliceGrid, index: int, *, volume: tuple[int, ...] = ()) -> np.ndarray:
    """A slice as nibabel reads it, out of the whole file."""
    voxels = np.asanyarray(nibabel.load(path).dataobj)[(..., *volume)]
    return grid.cut(grid.to_canonical(voxels), index)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scaling", [(1.0, 0.0), (0.1, -1024.0), (3.0, 0.0)])
def test_every_stored_type_and_scaling_is_read_as_nibabel_reads_it_bit_by_bit(
    tmp_path: Path, ending: str, dtype: str, scaling: tuple[float, float]
) -> None:
    path = tmp_path / f"a.{ending}"
    save(path, dtype=dtype, scaling=scaling)
    cache = SliceCache()
    for plane in PLANES:
        source = source_of(path, plane=plane)
        for index in (0, 3, 4):
            expected = by_nibabel(path, source.grid, index)
            for _ in range(2):  # decoded, then from the cache
                got = source.plane(index, cache=cache)
                assert got.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
                assert np.array_equal(got, expected)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    tilt=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 8)] * 3),
    plane=st.sampled_from(list(PLANES)),
)
def test_slices_of_any_oblique_grid_are_read_as_nibabel_reads_them(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    tilt: tuple[float, float, float],
    spacing: tuple[float, float, float],
    plane: str,
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = nibabel.eulerangles.euler2mat(*np.radians(tilt)) * spacing
    path = tmp_path_factory.mktemp("oblique") / "a.nii.gz"
    save(path, shape=shape, affine=affine)
    source = source_of(path, plane=plane)
    for index in range(source.grid.num_slices):
        assert np.array_equal(source.plane(index, cache=SliceCache()), by_nibabel(path, source.grid, index))


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize(
    "series, positions", [((4,), [(0,), (3,)]), ((2, 3), [(0, 0), (1, 2), (0, 1)]), ((1,), [(0,)])]
)
def test_a_volume_of_a_series_is_read_as_nibabel_reads_it(
    tmp_path: Path, ending: str, series: tuple[int, ...], positions: list[tuple[int, ...]]
) -> None:
    path = tmp_path / f"a.{ending}"
    save(path, shape=(5, 6, 7, *series))
    for position in positions:
        number = int(np.ravel_multi_index(position, series))
        source = source_of(path, plane="coronal", volume_index=number)
        assert np.array_equal(source.plane(2, cache=SliceCache()), by_nibabel(path, source.grid, 2, volume=position))


@pytest.mark.parametrize(
    "name, kind",
    [("a.nii.gz", nibabel.Nifti2Image), ("a.img", nibabel.Nifti1Pair), ("a.img.gz", nibabel.Nifti1Pair),
     ("a.mgz", nibabel.MGHImage), ("a.nii.bz2", nibabel.Nifti1Image)],
)  # fmt: skip
def test_other_formats_that_nibabel_knows_are_read_as_nibabel_reads_them(tmp_path: Path, name: str, kind: type) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16)
    kind(voxels, np.diag([1, 2, 3, 1])).to_filename(tmp_path / name)
    source = source_of(tmp_path / name, plane="axial")
    for _ in range(2):
        assert np.array_equal(source.plane(3, cache=SliceCache()), by_nibabel(tmp_path / name, source.grid, 3))


def test_the_intensity_range_is_the_one_of_the_whole_volume(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    save(path, scaling=(0.5, 3.0), affine=np.diag([-1.0, 1.0, -2.0, 1.0]))
    expected = percentile_range(read_voxels(open_volume(path), path=path))
    for _ in range(2):
        assert source_of(path, plane="coronal").intensity_range(SliceCache()) == expected


@pytest.mark.parametrize("scaling", [(1.0, -1024.0), (0.1, -1024.0), (-0.5, 7.0), (1.0, 0.0)])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<i4", "<f4"])
def test_the_intensity_range_and_the_foreground_are_those_of_the_scaled_numbers(
    tmp_path: Path, dtype: str, scaling: tuple[float, float]
) -> None:
    path = tmp_path / "a.nii.gz"
    stored = np.random.default_rng(0).integers(1, 100, (9, 8, 7)).astype(dtype)
    stored[:3] = stored[-1:] = 0  # the background
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.set_data_dtype(np.dtype(dtype))
    image.header.set_slope_inter(*scaling)
    image.to_filename(path)
    scaled = np.asanyarray(nibabel.load(path).dataobj)
    source = source_of(path, plane="axial")
    assert source.intensity_range(SliceCache()) == pytest.approx(percentile_range(scaled), rel=1e-12)
    planes = source.grid.planes(source.grid.to_canonical(scaled))
    assert source.foreground_extent(SliceCache()) == extent(foreground_mask(planes)) == (0, 8, 1, 6)


def test_a_file_that_is_written_while_it_is_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    save(path)
    source = source_of(path, plane="axial")
    source.plane(0, cache=SliceCache())
    save(path, dtype="<f4")
    with pytest.raises(ValueError, match="a.nii.gz as it was"):
        source.plane(0, cache=SliceCache())


def test_a_changed_file_is_read_anew_by_the_next_data_set(nifti: Any) -> None:
    nifti.save_case("a", np.ones((6, 6, 3), dtype=np.uint8))
    before = NiftiSlices(*nifti.patterns)
    assert len(before) == 3 and before[0].class_names == ("label_1",)
    label = np.zeros((6, 6, 3), dtype=np.uint8)
    label[:, :, 1] = 2
    stat = os.stat(nifti.folder / "a/label.nii.gz")
    nifti.save("a/label.nii.gz", label)
    nifti.save("a/image.nii.gz", np.arange(108, dtype=np.int16).reshape(6, 6, 3))
    os.utime(nifti.folder / "a/label.nii.gz", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    after = NiftiSlices(*nifti.patterns, window=(53.5, 107))
    assert [sample.name for sample in after] == ["a_axial_001"] and after[0].class_names == ("label_2",)
    assert after[0].image[-1, -1, 0] == round(1 / 107 * 255)


def sparse(value: int) -> np.ndarray:
    """A label volume, all of it background but one small square far from its beginning, middle and end."""
    label = np.zeros((128, 128, 40), dtype=np.uint8)
    label[10:20, 10:20, 10] = value
    return label


def test_sparse_uncompressed_labels_of_one_grid_and_one_time_are_told_apart(nifti: Any) -> None:
    for case, value in (("a", 1), ("b", 2)):
        nifti.save(f"{case}/image.nii.gz", np.arange(128 * 128 * 40, dtype=np.int32).reshape(128, 128, 40))
        os.utime(nifti.save(f"{case}/label.nii", sparse(value)), (1_700_000_000, 1_700_000_000))
    patterns = f"{nifti.folder}/*/image.nii.gz", f"{nifti.folder}/*/label.nii"
    assert [sample.class_names for sample in NiftiSlices(*patterns)] == [("label_1",), ("label_2",)]
    os.utime(nifti.save("a/label.nii", sparse(3)), (1_700_000_000, 1_700_000_000))
    assert [sample.class_names for sample in NiftiSlices(*patterns)] == [("label_3",), ("label_2",)]


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["ct_organs/ct_3mm", "ct_organs/ct_512", "ct_lesion/000001_02_01_008-023", "radiomics/brain1", "spine_mri/t2s"],
)
def test_real_volumes_are_read_as_nibabel_reads_them(data_folder: Path, name: str) -> None:
    path = data_folder / "volumes" / name / "image.nii.gz"
    for plane in PLANES:
        source = source_of(path, plane=plane)
        for index in {0, source.grid.num_slices // 2, source.grid.num_slices - 1}:
            assert np.array_equal(source.plane(index, cache=SliceCache()), by_nibabel(path, source.grid, index))
