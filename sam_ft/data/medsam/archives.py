"""What the `.npz` archives of MedSAM's prepared data hold: single images, or volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sam_ft.checks import shortened
from sam_ft.data.numpy_files import ArrayHeader, npz_header, npz_keys, read_npz


@dataclass(frozen=True)
class Archive:
    """The arrays `imgs` and `gts` of one archive, of which only headers are read; `boxes` and others are left alone."""

    path: Path
    name: str  # its path in the data set's folder
    imgs: ArrayHeader
    gts: ArrayHeader

    @property
    def is_volume(self) -> bool:
        """Whether it has slices."""
        return len(self.gts.shape) == 3

    @property
    def is_colour(self) -> bool:
        """Whether pixels have red, green and blue."""
        return len(self.imgs.shape) == len(self.gts.shape) + 1

    @property
    def pixel_mm(self) -> tuple[float, float] | None:
        """Height and width of a pixel of a single image, whose `spacing` begins with (x, y); None where it has none.

        Raises:
            ValueError: A spacing that is not two or three numbers above 0.
        """
        if "spacing" not in npz_keys(self.path):
            return None
        spacing = read_npz(self.path, "spacing").astype(np.float64)
        if spacing.shape not in ((2,), (3,)) or not (np.isfinite(spacing) & (spacing > 0)).all():
            raise ValueError(f"Expected `spacing` (x, y) or (x, y, z) above 0 in {self.path}, but got {spacing}.")
        return float(spacing[1]), float(spacing[0])


def open_archive(path: Path, *, root: Path) -> Archive:
    """The archive in a file.

    Raises:
        ValueError: No archive, no `imgs` or `gts`, or shapes that do not belong to each other.
    """
    imgs, gts = npz_header(path, "imgs"), npz_header(path, "gts")
    of_image = imgs.shape[: len(gts.shape)]
    channels = imgs.shape[len(gts.shape) :]
    if len(gts.shape) not in (2, 3) or 0 in gts.shape or of_image != gts.shape or channels not in ((), (3,)):
        raise ValueError(
            f"Expected `gts` (H, W) or (slices, H, W) in {path}, and `imgs` of the same shape or with 3 channels, but "
            f"got gts {shortened(str(gts.shape))} and imgs {shortened(str(imgs.shape))}."
        )
    name = "-".join(path.relative_to(root).with_suffix("").parts)
    return Archive(path=path, name=name, imgs=imgs, gts=gts)


def open_archives(root: Path) -> list[Archive]:
    """The archives in a folder and in folders inside, by path; files whose names begin with a dot are left out.

    Raises:
        ValueError: As `open_archive`, or single images beside volumes.
    """
    archives = [open_archive(path, root=root) for path in sorted(root.rglob("*.npz")) if not path.name.startswith(".")]
    expect_one_kind(archives)
    return archives


def expect_one_kind(archives: Sequence[Archive]) -> None:
    """Refuse single images beside volumes.

    Raises:
        ValueError: Both are there; one of each is named.
    """
    volumes, images = ([one for one in archives if one.is_volume == wanted] for wanted in (True, False))
    if volumes and images:
        raise ValueError(
            f"Expected volumes alone or single images alone, but got a volume in {volumes[0].path} and an image in "
            f"{images[0].path}: give a folder of one kind."
        )
