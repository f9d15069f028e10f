"""What `SliceCache` says about memory, measured."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
import pytest

from sam_ft.data.nifti.cases import open_nifti_image, open_nifti_label
from sam_ft.data.volumes.cases import VolumeFile
from sam_ft.data.volumes.object_table import table_of
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slice_cache import SliceCache

SHAPE = (160, 160, 100)
NUM_VOXELS = 160 * 160 * 100
BUFFERS = 6 * 2**20  # of inflation, for volumes of any size


def peak_bytes(compute: Callable[[], object]) -> int:
    """The most memory that is in use at a time, beyond what was in use before."""
    tracemalloc.start()
    try:
        compute()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "dtype, scaling, decoding, measuring",
    [("<i2", (1, -1024), 2, 3), ("<i2", (0.1, 0), 2, 3), ("<f4", (1, 0), 2, 3), ("<f4", (2, 1), 2, 5)],
)
def test_an_image_takes_as_much_memory_as_is_said(
    nifti: Any, dtype: str, scaling: tuple[float, float], decoding: int, measuring: int
) -> None:
    voxels = np.random.default_rng(0).integers(1, 1000, SHAPE).astype(dtype)
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(*scaling)
    image.to_filename(nifti.folder / "a.nii.gz")
    source = open_nifti_image(VolumeFile(nifti.folder / "a.nii.gz"), plane="sagittal")
    cache = SliceCache()
    assert peak_bytes(lambda: source.plane(0, cache=cache)) < (decoding + 0.1) * voxels.nbytes + BUFFERS
    for measure in (source.intensity_range, source.foreground_extent):
        assert peak_bytes(lambda measure=measure: measure(cache)) < (measuring + 0.1) * voxels.nbytes  # type: ignore[misc]
    assert peak_bytes(lambda: source.plane(1, cache=cache)) < 2**20


@pytest.mark.parametrize("dtype, decoding", [("u1", 2), ("<i2", 2), ("<f4", 4), ("<f8", 4)])
def test_labels_take_as_much_memory_as_is_said(nifti: Any, dtype: str, decoding: int) -> None:
    labels = np.random.default_rng(0).choice([0, 1, 2], SHAPE, p=[0.9, 0.07, 0.03])
    labels[0, 0, 0] = labels[-1, -1, -1] = 1  # their box is the whole volume
    nifti.save("label.nii.gz", labels.astype(dtype))
    grid = open_nifti_image(VolumeFile(nifti.folder / "label.nii.gz"), plane="axial").grid
    label, cache = open_nifti_label(nifti.folder / "label.nii.gz", grid), SliceCache()
    in_file = NUM_VOXELS * np.dtype(dtype).itemsize
    assert peak_bytes(lambda: label.planes(cache)) < (decoding + 0.1) * in_file + BUFFERS
    rule = ObjectRule(kind="components_3d", classes={"a": 1, "b": 2})
    assert peak_bytes(lambda: table_of(label, rule=rule, cache=cache)) < 10.5 * NUM_VOXELS
