"""How the slices of a volume lie on its voxel grid, there and exactly back.

Display convention (radiological, as on a PACS): axial slices show anterior at the top and the patient's right on the
left; coronal slices superior at the top and the patient's right on the left; sagittal slices superior at the top and
anterior on the left. Slices are counted in the canonical RAS+ orientation: axial from inferior to superior, coronal
from posterior to anterior, sagittal from left to right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import nibabel
import numpy as np
from nibabel import orientations
from PIL import Image

from sam_ft.transforms import nearest_indices

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane -> the axis of a canonical (RAS+) volume along which its slices follow each other."""
_SQUARE_WITHIN = 1.01

Extent = tuple[int, int, int, int]
"""(top, bottom, left, right) of a rectangle in a slice; bottom and right are the first that are outside."""


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """The grid of one volume, cut into slices of one plane.

    A *plane* is what is shown of a slice at the volume's own resolution, a *picture* the same with square pixels:
    where the two spacings differ by more than one percent, the coarser side is enlarged to the finer spacing.
    """

    path: Path
    shape: tuple[int, int, int]  # as the file stores it
    affine: np.ndarray  # (4, 4) voxel indices as the file stores them to mm, RAS+
    plane: str  # "axial", "coronal" or "sagittal"
    field: tuple[slice, slice] | None = None  # which rows and columns of each slice are shown; None: all

    def __post_init__(self) -> None:
        if self.plane not in PLANES:
            raise ValueError(f"Expected `axis` to be one of {', '.join(PLANES)}, but got {self.plane!r}.")

    @cached_property
    def canonical_shape(self) -> tuple[int, int, int]:
        """The volume's shape in RAS+ orientation."""
        first, second, third = (self.shape[int(axis)] for axis in self._orientation[:, 0].argsort())
        return first, second, third

    @cached_property
    def canonical_spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxels along right, anterior, superior."""
        spacing = nibabel.affines.voxel_sizes(self.affine)[self._orientation[:, 0].argsort()]
        return float(spacing[0]), float(spacing[1]), float(spacing[2])

    @cached_property
    def canonical_affine(self) -> np.ndarray:
        """(4, 4) indices of the volume in RAS+ orientation to mm."""
        return np.asarray(self.affine @ orientations.inv_ornt_aff(self._orientation, self.shape))

    @property
    def num_slices(self) -> int:
        """Slices along the plane's axis."""
        return self.canonical_shape[PLANES[self.plane]]

    @property
    def slice_distance_mm(self) -> float:
        """Distance from one slice to the next."""
        return self.canonical_spacing_mm[PLANES[self.plane]]

    @property
    def planes_mm(self) -> tuple[float, float, float]:
        """Distance from one voxel of `planes` to the next: along the slices, the rows and the columns."""
        return (self.slice_distance_mm, *self._plane_spacing_mm())

    @property
    def plane_size(self) -> tuple[int, int]:
        """(height, width) of what is shown of a slice, at the volume's own resolution."""
        columns, rows = (self.canonical_shape[axis] for axis in range(3) if axis != PLANES[self.plane])
        if self.field is not None:
            rows, columns = (len(range(size)[part]) for size, part in zip((rows, columns), self.field, strict=True))
        return rows, columns

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) of a slice with square pixels."""
        height_mm, width_mm = self._plane_spacing_mm()
        height, width = self.plane_size
        if height_mm > width_mm * _SQUARE_WITHIN:
            height = round(height * height_mm / width_mm)
        elif width_mm > height_mm * _SQUARE_WITHIN:
            width = round(width * width_mm / height_mm)
        return height, width

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a picture's pixel; equal within the rounding of `picture_size`."""
        (height_mm, width_mm), (height, width) = self._plane_spacing_mm(), self.plane_size
        return height_mm * height / self.picture_size[0], width_mm * width / self.picture_size[1]

    def to_canonical(self, volume: np.ndarray) -> np.ndarray:
        """A volume as the file stores it -> the same in RAS+ orientation (a view)."""
        self._expect(volume.shape, self.shape, "volume")
        return orientations.apply_orientation(volume, self._orientation)

    def from_canonical(self, volume: np.ndarray) -> np.ndarray:
        """A volume in RAS+ orientation -> as the file stores it: the inverse of `to_canonical`."""
        self._expect(volume.shape, self.canonical_shape, "volume")
        canonical = np.array([[0, 1], [1, 1], [2, 1]])
        back = orientations.ornt_transform(canonical, self._orientation)
        return orientations.apply_orientation(volume, back)

    def planes(self, canonical: np.ndarray) -> np.ndarray:
        """All slices of a canonical volume, whole and turned as they are shown: (slices, rows, columns), a view."""
        self._expect(canonical.shape, self.canonical_shape, "volume")
        return np.moveaxis(canonical, PLANES[self.plane], 0)[:, ::-1, ::-1].swapaxes(1, 2)

    def cut(self, canonical: np.ndarray, index: int) -> np.ndarray:
        """What is shown of slice `index` of a canonical volume, turned as it is shown: (rows, columns), a view."""
        if not 0 <= index < self.num_slices:
            raise ValueError(f"Expected a slice from 0 to {self.num_slices - 1} in {self.path}, but got {index}.")
        return self.shown(self.planes(canonical)[index])

    def shown(self, planes: np.ndarray) -> np.ndarray:
        """(..., rows, columns) whole slices -> what `field` shows of them, a view."""
        return planes if self.field is None else planes[..., self.field[0], self.field[1]]

    def showing(self, rectangle: Extent) -> SliceGrid:
        """The same grid, of which only the rows and columns of a rectangle are shown."""
        top, bottom, left, right = rectangle
        return replace(self, field=(slice(top, bottom), slice(left, right)))

    def labels_to_picture(self, plane: np.ndarray) -> np.ndarray:
        """(rows, columns) labels -> (height, width) with square pixels, by the nearest pixel centre."""
        self._expect(plane.shape, self.plane_size, "slice")
        return _nearest(plane, self.picture_size)

    def labels_to_plane(self, picture: np.ndarray) -> np.ndarray:
        """(height, width) labels -> (rows, columns): the exact inverse of `labels_to_picture`."""
        self._expect(picture.shape, self.picture_size, "slice")
        return _nearest(picture, self.plane_size)

    def image_to_picture(self, plane: np.ndarray) -> np.ndarray:
        """(rows, columns) uint8 -> (height, width) uint8 with square pixels, bilinear; unchanged where they are."""
        self._expect(plane.shape, self.plane_size, "slice")
        if self.picture_size == self.plane_size:
            return np.ascontiguousarray(plane)
        height, width = self.picture_size
        image = Image.fromarray(np.ascontiguousarray(plane))
        return np.array(image.resize((width, height), Image.Resampling.BILINEAR))

    @cached_property
    def _orientation(self) -> np.ndarray:
        """For each axis of the file, the canonical axis and whether it runs along it: (3, 2)."""
        return orientations.io_orientation(self.affine)

    def _plane_spacing_mm(self) -> tuple[float, float]:
        spacing = self.canonical_spacing_mm
        columns, rows = (spacing[axis] for axis in range(3) if axis != PLANES[self.plane])
        return rows, columns

    def _expect(self, got: tuple[int, ...], expected: tuple[int, ...], what: str) -> None:
        if tuple(got) != tuple(expected):
            raise ValueError(f"Expected a {what} of shape {expected} on the grid of {self.path}, but got {got}.")


def extent(planes: np.ndarray) -> Extent | None:
    """The rectangle that holds all that is not 0 in (slices, rows, columns); None if everything is."""
    present = np.logical_or.reduce(planes != 0, axis=0)  # (rows, columns)
    rows, columns = (np.flatnonzero(present.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def refuse_other_grid(
    image: SliceGrid, other: SliceGrid, *, what: str = "label", tolerance_voxels: float = 0.01
) -> None:
    """Checks that a label, or another sequence of the same case, lies on an image's grid, voxel by voxel.

    In which order and direction the files store the axes makes no difference.

    Raises:
        ValueError: Another shape, or corner voxels further apart than `tolerance_voxels` of the image's voxels;
            the message says by how much and names both orientations.
    """
    if image.canonical_shape != other.canonical_shape:
        raise ValueError(
            f"Expected {other.path} on the grid of its image {image.path}, but the shapes differ: "
            f"{what} {other.canonical_shape}, image {image.canonical_shape}. Resample the {what} to the image."
        )
    ends = [(0, length - 1) for length in image.canonical_shape]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)  # (8, 3)
    other_in_image = np.linalg.solve(image.canonical_affine, other.canonical_affine)
    distance = float(np.abs(nibabel.affines.apply_affine(other_in_image, corners) - corners).max())
    if not distance <= tolerance_voxels:
        axes = ["".join(nibabel.aff2axcodes(grid.affine)) for grid in (image, other)]
        raise ValueError(
            f"Expected {other.path} on the grid of its image {image.path}, but corner voxels lie {distance:.4g} "
            f"voxels apart (limit {tolerance_voxels}; image axes {axes[0]}, {what} axes {axes[1]}). "
            f"{_other_unit(image, other) or f'Resample the {what} to the image.'}"
        )


def _other_unit(image: SliceGrid, other: SliceGrid) -> str:
    """What to say if two grids differ like metre and millimetre; nothing if they do not."""
    factors = np.divide(image.canonical_spacing_mm, other.canonical_spacing_mm)
    if not any(np.allclose(factors, unit, rtol=0.01) for unit in (1e-6, 1e-3, 1e3, 1e6)):
        return ""
    return f"The spacings differ by a factor of {factors[0]:.4g}: the unit in one of the headers (xyzt_units) is wrong."


def _nearest(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if plane.shape == size:
        return plane
    rows, columns = (nearest_indices(source, target).numpy() for source, target in zip(plane.shape, size, strict=True))
    return plane[rows][:, columns]
