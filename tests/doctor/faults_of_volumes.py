"""Faults of volumes and label volumes, each planted into a healthy data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np

from sam_ft.data.volumes.objects import ObjectRule
from tests.doctor.healthy import SPACING, DataSet, save_volume

Plant = Callable[[DataSet], None]
LEFT = np.diag([-1.0, 1.0, 2.0, 1.0])


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def both(data: DataSet, number: int, affine: np.ndarray) -> None:
    """Another affine for image and label of one case."""
    for kind in ("images", "labels"):
        path = data.files(kind)[number]
        save_volume(path, voxels(path), affine)


def two_affines(data: DataSet) -> None:
    path = data.files("images")[0]
    image = nibabel.load(path)
    image.set_qform(np.diag([1.0, 1.0, 3.0, 1.0]), code=1)
    image.set_sform(SPACING, code=1)
    nibabel.save(nibabel.Nifti1Image(voxels(path), None, image.header), path)


def no_orientation(data: DataSet) -> None:
    for kind in ("images", "labels"):
        path = data.files(kind)[0]
        header = nibabel.load(path).header
        header["qform_code"] = header["sform_code"] = 0
        nibabel.save(nibabel.Nifti1Image(voxels(path), None, header), path)


def other_grid(data: DataSet) -> None:
    path = data.files("labels")[0]
    save_volume(path, voxels(path), LEFT)


def size_mismatch(data: DataSet) -> None:
    path = data.files("labels")[0]
    save_volume(path, voxels(path)[:, :, 1:])


def mixed_orientations(data: DataSet) -> None:
    both(data, 0, LEFT)


def anisotropic(data: DataSet) -> None:
    for number in range(10):
        both(data, number, np.diag([1.0, 4.0, 1.0, 1.0]))


def odd_spacing(data: DataSet) -> None:
    for number in range(10):
        both(data, number, SPACING * np.array([1e-3, 1e-3, 1e-3, 1.0]))


def unequal_spacing(data: DataSet) -> None:
    both(data, 0, SPACING * np.array([4.0, 4.0, 4.0, 1.0]))


def series(data: DataSet) -> None:
    path = data.files("images")[0]
    save_volume(path, np.stack([voxels(path)] * 2, axis=-1))


def not_finite(data: DataSet) -> None:
    path = data.files("images")[0]
    changed = voxels(path).astype(np.float32)
    changed[:3] = np.nan
    save_volume(path, changed)


def unreadable_image(data: DataSet) -> None:
    path = data.files("images")[0]
    path.write_bytes(path.read_bytes()[:5000])


def unreadable_label(data: DataSet) -> None:
    data.files("labels")[0].write_bytes(b"")


def fractional_label(data: DataSet) -> None:
    path = data.files("labels")[0]
    save_volume(path, voxels(path).astype(np.float32) * 0.7)


def image_without_label(data: DataSet) -> None:
    data.files("labels")[0].unlink()


def empty_label(data: DataSet) -> None:
    path = data.files("labels")[0]
    save_volume(path, voxels(path) * 0)


def leak(data: DataSet) -> None:
    inside = {case.name: case.part for case in data.examine().inventory.cases}
    first = next(name for name, part in inside.items() if part == "train").partition("-")[0]
    other = next(name for name, part in inside.items() if part == "test").partition("-")[0]
    for kind in ("images", "labels"):
        source = data.root / first / kind / "scan.nii.gz"
        (data.root / other / kind / "scan.nii.gz").write_bytes(source.read_bytes())


def constant_image(data: DataSet) -> None:
    path = data.files("images")[0]
    save_volume(path, voxels(path) * 0)


def no_window(data: DataSet) -> None:
    for path in data.files("images"):
        save_volume(path, (voxels(path) - voxels(path).min()) * 10 - 1000)


def absent_class(data: DataSet) -> None:
    data.told(objects=ObjectRule(kind="components", classes={"cell": 1, "vessel": 9}))


def unused_values(data: DataSet) -> None:
    for path in data.files("labels"):
        labels = voxels(path)
        labels[:30][labels[:30] > 0] = 2
        save_volume(path, labels)
    data.told(objects=ObjectRule(kind="components", classes={"cell": 1}))


def mirrored_labels(data: DataSet) -> None:
    for path in data.files("labels"):
        save_volume(path, voxels(path)[:, ::-1])


def single_volume(data: DataSet) -> None:
    for kind in ("images", "labels"):
        for path in data.files(kind)[5:]:
            path.unlink()


VOLUMES: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        two_affines, no_orientation, other_grid, size_mismatch, mixed_orientations, anisotropic, odd_spacing,
        unequal_spacing, series, not_finite, unreadable_image, unreadable_label, fractional_label,
        image_without_label, empty_label, leak, constant_image, no_window, absent_class, unused_values,
        mirrored_labels, single_volume,
    )
}  # fmt: skip
