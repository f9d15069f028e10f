"""Small NIfTI files for the tests of `sam_ft.data.nifti`."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

_WORLD_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


class NiftiFiles:
    """Writes volumes below a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def affine(axes: str, *, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
        """Voxel axes that point along `axes`, such as "LPS", with the spacing of each."""
        affine = np.zeros((4, 4))
        for column, (code, spacing) in enumerate(zip(axes, spacing_mm, strict=True)):
            row, sign = _WORLD_AXES[code]
            affine[row, column] = sign * spacing
        affine[:, 3] = [5.0, -7.0, 11.0, 1.0]
        return affine

    def save(self, name: str, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
        return path

    def save_case(self, case: str, label: np.ndarray, affine: np.ndarray | None = None) -> None:
        """A random CASE/image.nii.gz, other voxels for another name, and the given CASE/label.nii.gz."""
        image = np.random.default_rng(list(case.encode())).integers(0, 1000, label.shape).astype(np.int16)
        self.save(f"{case}/image.nii.gz", image, affine)
        self.save(f"{case}/label.nii.gz", label, affine)

    @property
    def patterns(self) -> tuple[str, str]:
        """Patterns of all cases' images and labels."""
        return f"{self.folder}/*/image.nii.gz", f"{self.folder}/*/label.nii.gz"


@pytest.fixture
def nifti(tmp_path: Path) -> NiftiFiles:
    return NiftiFiles(tmp_path)
