from __future__ import annotations

import gzip
import logging
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sam_ft.data.nifti.headers import distance_of_affines, warn_of_two_affines
from sam_ft.data.nifti.reading import grid_of, load_medical_image, open_volume
from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.nifti.writing import write_label_volume
from sam_ft.data.volumes.objects import ObjectRule

HUGE = 32767


def header(shape: tuple[int, int, int] = (4, 4, 4)) -> bytearray:
    """A header of 352 bytes for int16 voxels."""
    made = nibabel.Nifti1Header()
    made.set_data_dtype(np.int16)
    made.set_data_shape(shape)
    made["magic"] = b"n+1"
    made["vox_offset"] = 352
    made.set_sform(np.eye(4), code=1)
    return bytearray(made.binaryblock + b"\0" * 4)


def nan_image() -> bytes:
    return nibabel.Nifti1Image(np.full((4, 4, 4), np.nan, dtype=np.float32), np.eye(4)).to_bytes()


def wrong_magic() -> bytes:
    content = header()
    content[344:348] = b"ni9\0"
    return bytes(content) + b"\0" * 128


def negative_length() -> bytes:
    content = header()
    struct.pack_into("<h", content, 42, -4)
    return bytes(content) + b"\0" * 128


def unknown_type() -> bytes:
    content = header()
    struct.pack_into("<h", content, 70, 9999)
    return bytes(content) + b"\0" * 128


HOSTILE: dict[str, Callable[[], bytes]] = {
    "truncated header": lambda: bytes(header())[:100],
    "truncated voxels": lambda: bytes(header()) + b"\0" * 100,
    "huge header": lambda: bytes(header((HUGE, HUGE, HUGE))) + b"\0" * 100,
    "a header of 2 GiB": lambda: bytes(header((1024, 1024, 1024))) + b"\0" * 4096,
    "wrong magic": wrong_magic,
    "negative length": negative_length,
    "unknown type": unknown_type,
    "nothing": lambda: b"",
    "not a volume": lambda: b"<html>" * 300,
}


@pytest.mark.parametrize("packed", [False, True], ids=["nii", "nii.gz"])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_named_within_a_second_and_nothing_is_allocated(
    tmp_path: Path, case: str, packed: bool
) -> None:
    content = HOSTILE[case]()
    path = tmp_path / ("bad.nii.gz" if packed else "bad.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"bad\.nii") as caught:
        load_medical_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - start < 1 and peak < 32 * 2**20
    assert len(str(caught.value)) > len(str(path)) + 40  # a reason


def test_a_huge_claim_is_refused_when_opened_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "huge.nii.gz"
    path.write_bytes(gzip.compress(bytes(header((HUGE, HUGE, HUGE)))))
    with pytest.raises(ValueError, match=rf"{2 * HUGE**3 + 352} bytes .* truncated, or its header damaged"):
        open_volume(path)


@pytest.mark.parametrize(
    "case, reason",
    [
        ("nothing", "it is empty"),
        ("truncated header", "it ends after 100 bytes, within the header"),
        ("wrong magic", "no NIfTI header"),
        ("not a volume", "no NIfTI header"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["nii", "nii.gz"])
def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path, case: str, reason: str, packed: bool) -> None:
    path = tmp_path / ("bad.nii.gz" if packed else "bad.nii")
    path.write_bytes(gzip.compress(HOSTILE[case]()) if packed else HOSTILE[case]())
    with pytest.raises(ValueError, match=reason):
        open_volume(path)


def test_a_volume_that_is_no_gzip_file_though_its_name_says_so_is_told(nifti: Any) -> None:
    path = nifti.save("a.nii", np.ones((3, 3, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="a.nii.gz, .*no gzip file"):
        open_volume(path.rename(path.with_suffix(".nii.gz")))


@pytest.mark.parametrize("cut", [0.999, 0.5, 0.01])
def test_a_gzip_file_that_ends_too_early_is_named(nifti: Any, cut: float) -> None:
    path = nifti.save("cut.nii.gz", np.random.default_rng(0).integers(0, 9999, (20, 20, 20)).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(ValueError, match="cut.nii.gz"):
        load_medical_image(path)


def test_a_flipped_bit_in_the_voxels_is_found_by_the_checksum(nifti: Any) -> None:
    path = nifti.save("a.nii.gz", np.random.default_rng(0).integers(0, 9999, (150, 150, 150)).astype(np.int16))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # of the checksum itself, so that the inflation goes well
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="a.nii.gz, but the file is damaged"):
        load_medical_image(path)


def test_an_image_of_nan_alone_is_named(tmp_path: Path, nifti: Any) -> None:
    nifti.save_case("a", np.ones((4, 4, 4), dtype=np.uint8), np.eye(4))
    (tmp_path / "a/image.nii.gz").write_bytes(gzip.compress(nan_image()))
    with pytest.raises(ValueError, match="finite intensities in .*a/image.nii.gz"):
        NiftiSlices(*nifti.patterns)[0]


def test_complex_and_colour_voxels_are_refused(nifti: Any) -> None:
    path = nifti.save("complex.nii", np.ones((2, 2, 2), dtype=np.complex64))
    with pytest.raises(ValueError, match="one real number per voxel in .*complex.nii"):
        open_volume(path)


def two_affines(path: Path, qform: np.ndarray, sform: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(np.ones((11, 11, 11), dtype=np.uint8), sform)
    image.set_sform(sform, code=2)
    image.set_qform(qform, code=1)
    nibabel.save(image, path)
    return path


def warnings_for(path: Path, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.WARNING):
        warn_of_two_affines(open_volume(path), path=path)
    return caplog.text


def test_a_qform_shifted_from_the_sform_is_reported_in_mm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shifted = np.eye(4)
    shifted[:3, 3] = [3, 0, 4]
    text = warnings_for(two_affines(tmp_path / "two.nii", np.eye(4), shifted), caplog)
    assert "two.nii" in text and "5 mm and 0 degrees" in text and "The sform is used" in text


def test_a_qform_turned_from_the_sform_is_reported_in_degrees(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    turned = np.eye(4)
    angle = np.radians(10)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    text = warnings_for(two_affines(tmp_path / "two.nii", np.eye(4), turned), caplog)
    assert "2.465 mm and 10 degrees" in text  # 2 * sin(5 degrees) * 10 * sqrt(2)


def test_equal_or_single_affines_are_not_reported(tmp_path: Path, nifti: Any, caplog: pytest.LogCaptureFixture) -> None:
    affine = nifti.affine("PSR", spacing_mm=(0.7, 1.1, 3.3))
    assert warnings_for(two_affines(tmp_path / "same.nii", affine, affine), caplog) == ""
    assert warnings_for(nifti.save("one.nii", np.ones((3, 3, 3), dtype=np.uint8)), caplog) == ""


def test_a_data_set_reports_both_affines_of_images_and_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shifted = np.eye(4)
    shifted[0, 3] = 2
    (tmp_path / "a").mkdir()
    for name in ("image", "label"):
        two_affines(tmp_path / f"a/{name}.nii.gz", shifted, np.eye(4))
    dataset = NiftiSlices(f"{tmp_path}/*/image.nii.gz", f"{tmp_path}/*/label.nii.gz")
    assert caplog.text.count("2 mm and 0 degrees") == 2 and "a/label.nii.gz places" in caplog.text
    assert np.array_equal(dataset.volumes[0].grid.affine, np.eye(4))


def in_unit(path: Path, unit: str, *, kind: type = nibabel.Nifti1Image, voxels: np.ndarray | None = None) -> Path:
    """A file with a spacing of 2, 3 and 4 of some unit, whose qform lies 5 of it away from its sform."""
    image = kind(np.ones((4, 5, 6), np.uint8) if voxels is None else voxels, np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit, "sec")
    away = image.affine.copy()
    away[0, 3] = 5
    image.set_qform(away, code=1)
    image.set_sform(image.affine, code=1)
    image.to_filename(path)
    return path


@pytest.mark.parametrize(
    "unit, mm, apart_mm",
    [("mm", 1.0, 5.0), ("unknown", 1.0, 5.0), ("meter", 1000.0, 5000.0), ("micron", 0.001, None)],
)
@pytest.mark.parametrize(
    "name, kind", [("a.nii.gz", nibabel.Nifti1Image), ("a.nii", nibabel.Nifti2Image), ("a.img", nibabel.Nifti1Pair)]
)
def test_millimetres_are_millimetres_in_whatever_unit_a_file_is(
    tmp_path: Path, name: str, kind: type, unit: str, mm: float, apart_mm: float | None
) -> None:
    path = in_unit(tmp_path / name, unit, kind=kind)
    image = open_volume(path)
    grid = grid_of(image, path=path, plane="axial")
    assert grid.canonical_spacing_mm == pytest.approx((2 * mm, 3 * mm, 4 * mm))
    if kind is not nibabel.Nifti1Pair:  # of which one affine alone is looked at
        apart = distance_of_affines(image)
        assert (None if apart is None else apart[0]) == (None if apart_mm is None else pytest.approx(apart_mm))


def test_a_unit_that_does_not_exist_is_read_as_millimetres(tmp_path: Path) -> None:
    path = in_unit(tmp_path / "a.nii", "mm")
    content = bytearray(path.read_bytes())
    content[123] = 7  # xyzt_units
    path.write_bytes(content)
    assert grid_of(open_volume(path), path=path, plane="axial").canonical_spacing_mm == (2.0, 3.0, 4.0)


def test_areas_and_a_written_label_follow_the_unit_of_the_image(tmp_path: Path) -> None:
    label = np.zeros((4, 5, 6), np.uint8)
    label[:, :, 2] = 1
    (tmp_path / "a").mkdir()
    in_unit(tmp_path / "a/image.nii.gz", "micron")
    in_unit(tmp_path / "a/label.nii.gz", "micron", voxels=label)
    patterns = f"{tmp_path}/*/image.nii.gz", f"{tmp_path}/*/label.nii.gz"
    rule = ObjectRule(min_area_px=1, min_area_mm2=20 * 6e-6)
    dataset = NiftiSlices(*patterns, objects=rule)
    assert dataset[0].pixel_mm == pytest.approx((0.002, 0.002), rel=0.1)
    with pytest.raises(ValueError, match="at least one object"):
        NiftiSlices(*patterns, objects=ObjectRule(min_area_mm2=1))
    picture = dataset.volumes[0].grid.labels_to_picture(label[:, ::-1, 2][::-1].T)
    written = open_volume(write_label_volume(tmp_path / "out.nii.gz", {2: picture}, grid=dataset.volumes[0].grid))
    assert written.header.get_xyzt_units()[0] == "micron"
    assert np.array_equal(written.affine, open_volume(tmp_path / "a/image.nii.gz").affine)


def test_a_label_in_another_unit_than_its_image_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    in_unit(tmp_path / "a/image.nii.gz", "micron")
    in_unit(tmp_path / "a/label.nii.gz", "unknown")
    with pytest.raises(ValueError, match=r"a/label.nii.gz .*factor of 0.001: the unit .*xyzt_units"):
        NiftiSlices(f"{tmp_path}/*/image.nii.gz", f"{tmp_path}/*/label.nii.gz")
