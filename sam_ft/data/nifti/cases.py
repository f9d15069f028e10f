"""Which images and which label make a case: pairs of one pattern of images, or of three patterns with one label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_ft.data.groups import group_in
from sam_ft.data.nifti.grid import SliceGrid, refuse_other_grid
from sam_ft.data.nifti.headers import warn_of_two_affines
from sam_ft.data.nifti.pairing import Pair, Pairing, pair_files
from sam_ft.data.nifti.reading import grid_of, num_time_points, open_volume
from sam_ft.data.nifti.sources import ImageSource, LabelSource, identity_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VolumeFile:
    """A volume, or one of a 4-D series."""

    path: Path
    volume_index: int | None = None


@dataclass(frozen=True)
class CaseFiles:
    """What a case is read from."""

    name: str  # unique in its data set
    group: str  # what never comes apart, such as the patient
    images: tuple[VolumeFile, ...]  # one, or three for red, green and blue
    label: Path


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """The images of one case, on one grid, with their label."""

    name: str  # what the wildcards matched; unique in its data set
    group: str  # what the first wildcard matched: the patient, where folders are patients
    images: tuple[ImageSource, ...]
    label: LabelSource
    grid: SliceGrid

    def group_by(self, rule: str | None) -> str:
        """The group; with a regular expression, what its first parentheses match in the path of the image.

        Raises:
            ValueError: The expression makes no sense, or does not match this path.
        """
        return self.group if rule is None else group_in(self.images[0].path, rule)


def open_cases(
    images: str | Sequence[str], labels: str, *, plane: str, volume_index: int | None
) -> tuple[LabelledVolume, ...]:
    """The cases of one pattern of images, or of several that belong to the same labels, in the order of the images.

    Only headers are read.

    Raises:
        ValueError: A file without partner or with several; a sequence on another grid than the first one; a
            4-D image without `volume_index`.
    """
    patterns = [images] if isinstance(images, str) else list(images)
    pairs = [_complete_pairs(pair_files(pattern, labels), volume_index=volume_index) for pattern in patterns]
    by_label = [{pair.label: pair for pair in one} for one in pairs]
    return tuple(
        open_case(
            CaseFiles(
                name=pair.name,
                group=pair.key[0] if pair.key else pair.name,
                images=tuple(VolumeFile(sequence[pair.label].image, volume_index) for sequence in by_label),
                label=pair.label,
            ),
            plane=plane,
        )
        for pair in pairs[0]
    )


def _complete_pairs(pairing: Pairing, *, volume_index: int | None) -> tuple[Pair, ...]:
    """The pairs of a pairing without lone files; a 4-D series that no label belongs to is left out.

    Raises:
        ValueError: A lone file, named.
    """
    series = [path for path in pairing.lone_images if volume_index is None and num_time_points(open_volume(path)) > 1]
    for path in series:
        _logger.warning("%s is a 4-D series without a label and is left out.", path)
    lone_images = [path for path in pairing.lone_images if path not in series]
    if lone_images or pairing.lone_labels:
        lone = [f"{path} has no label" for path in lone_images]
        lone += [f"{path} has no image" for path in pairing.lone_labels]
        raise ValueError(f"Expected every image to have a label and every label an image, but {'; '.join(lone)}.")
    return pairing.pairs


def open_case(files: CaseFiles, *, plane: str) -> LabelledVolume:
    """The case of some files, of which only headers are read; raises as `open_cases`."""
    images = tuple(_open_image(file.path, plane=plane, volume_index=file.volume_index) for file in files.images)
    grid = images[0].grid
    for other in images[1:]:
        refuse_other_grid(grid, other.grid, what="sequence")
    return LabelledVolume(
        name=files.name, group=files.group, images=images, label=_open_label(files.label, grid=grid), grid=grid
    )


def _open_image(path: Path, *, plane: str, volume_index: int | None) -> ImageSource:
    image = open_volume(path)
    num_volumes = num_time_points(image)
    if volume_index is None and num_volumes > 1:
        raise ValueError(
            f"Expected a volume of 3 dimensions in {path}, but its shape is {image.shape}; "
            f"choose one volume of the series with volume_index=0 ... {num_volumes - 1}."
        )
    warn_of_two_affines(image, path=path)
    grid = grid_of(image, path=path, plane=plane)
    return ImageSource.of(image, grid=grid, volume_index=volume_index)


def _open_label(path: Path, *, grid: SliceGrid) -> LabelSource:
    label = open_volume(path)
    warn_of_two_affines(label, path=path)
    refuse_other_grid(grid, grid_of(label, path=path, plane=grid.plane))
    return LabelSource(path, grid, identity_of(label))
