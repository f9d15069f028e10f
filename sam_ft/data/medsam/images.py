"""Single images of MedSAM's prepared data: in a `.npz` archive, or in a pair of `.npy` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sam_ft.data.label_maps import as_label_map
from sam_ft.data.numpy_files import npy_header, read_npy, read_npz

_SCALED_TOLERANCE = 1e-6


@dataclass(frozen=True)
class NpzImage:
    """A case of `sam_ft.data.labelled_images`: the arrays `imgs` (H, W) or (H, W, 3) and `gts` (H, W) of an archive."""

    name: str
    group: str
    label_path: Path  # the archive
    pixel_mm: tuple[float, float] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The archive."""
        return (self.label_path,)

    def read_image(self) -> np.ndarray:
        """(H, W, 3) uint8; raises as `as_picture` and `read_npz`."""
        return as_picture(read_npz(self.label_path, "imgs"), path=self.label_path)

    def read_labels(self) -> np.ndarray:
        """(H, W) integers; raises as `as_label_map` and `read_npz`."""
        return as_label_map(read_npz(self.label_path, "gts"), path=self.label_path)


@dataclass(frozen=True)
class NpyImage:
    """A case of `sam_ft.data.labelled_images`: an image in one file and its labels in another of the same size."""

    name: str
    group: str
    image_path: Path
    label_path: Path
    pixel_mm: tuple[float, float] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The image."""
        return (self.image_path,)

    def read_image(self) -> np.ndarray:
        """(H, W, 3) uint8; raises as `as_picture` and `read_npy`."""
        return as_picture(read_npy(self.image_path), path=self.image_path)

    def read_labels(self) -> np.ndarray:
        """(H, W) integers; raises as `as_label_map` and `read_npy`, and where the image is of another size."""
        labels = as_label_map(read_npy(self.label_path), path=self.label_path)
        size = npy_header(self.image_path).shape[:2]
        if labels.shape != size:
            raise ValueError(
                f"Expected {self.label_path} of the size of its image {self.image_path}, {size}, "
                f"but got {labels.shape}."
            )
        return labels


def as_picture(array: np.ndarray, *, path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3), uint8 or scaled from 0 to 1 -> (H, W, 3) uint8.

    Raises:
        ValueError: Another shape or type, or numbers below 0 or above 1.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        raise ValueError(f"Expected an image (H, W) or (H, W, 3) in {path}, but its shape is {array.shape}.")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(f"Expected an image of uint8 or of numbers from 0 to 1 in {path}, but got {array.dtype}.")
        low, high = float(array.min()), float(array.max())
        if not (low >= -_SCALED_TOLERANCE and high <= 1 + _SCALED_TOLERANCE):
            raise ValueError(f"Expected an image of numbers from 0 to 1 in {path}, but got {low:g} to {high:g}.")
        array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=-1))
