"""Which images and which label make a case: files of two or four patterns, or files that a data set lists."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sam_ft.data.groups import group_in
from sam_ft.data.nifti.grid import SliceGrid, refuse_other_grid
from sam_ft.data.nifti.headers import warn_of_two_affines
from sam_ft.data.nifti.pairing import Pair, Pairing, pair_files
from sam_ft.data.nifti.reading import grid_of, num_time_points, open_volume, read_labels
from sam_ft.data.nifti.sources import ImageSource, LabelSource
from sam_ft.data.nifti.stored import identity_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VolumeFile:
    """A volume, or one of several that lie together."""

    path: Path  # a file, or the folder of a series
    volume_index: int | None = None  # of a 4-D series, or which channel; None: there is one volume


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

    name: str  # unique in its data set
    group: str  # what never comes apart, such as the patient
    images: tuple[ImageSource, ...]
    label: LabelSource
    grid: SliceGrid

    def group_by(self, rule: str | None) -> str:
        """The group; with a regular expression, what its first parentheses match in the path of the image.

        Raises:
            ValueError: The expression makes no sense, or does not match this path.
        """
        return self.group if rule is None else group_in(self.images[0].path, rule)


def open_nifti_image(file: VolumeFile, *, plane: str) -> ImageSource:
    """The image of a NIfTI file, or of another that nibabel knows; its header alone is read.

    Raises:
        ValueError: The file cannot be read, or is 4-D and no volume of it is chosen.
    """
    image = open_volume(file.path)
    num_volumes = num_time_points(image)
    if file.volume_index is None and num_volumes > 1:
        raise ValueError(
            f"Expected a volume of 3 dimensions in {file.path}, but its shape is {image.shape}; "
            f"choose one volume of the series with volume_index=0 ... {num_volumes - 1}."
        )
    warn_of_two_affines(image, path=file.path)
    grid = grid_of(image, path=file.path, plane=plane)
    return ImageSource.of(image, grid=grid, volume_index=file.volume_index)


def open_nifti_label(path: Path, grid: SliceGrid) -> LabelSource:
    """The label in a file that nibabel knows; its header alone is read.

    Raises:
        ValueError: The file cannot be read, or lies on another grid than the image.
    """
    label = open_volume(path)
    warn_of_two_affines(label, path=path)
    refuse_other_grid(grid, grid_of(label, path=path, plane=grid.plane))
    return LabelSource(path, grid, identity_of(label), partial(read_labels, path))


def open_case(
    files: CaseFiles,
    *,
    open_image: Callable[[VolumeFile], ImageSource],
    open_label: Callable[[Path, SliceGrid], LabelSource] = open_nifti_label,
) -> LabelledVolume:
    """The case of some files, of any format.

    Args:
        files: Of one case.
        open_image: Gives an image, whose voxels need not be read yet.
        open_label: Gives the label that belongs on an image's grid.

    Raises:
        ValueError: What these two raise, or a sequence on another grid than the first one.
    """
    images = tuple(open_image(file) for file in files.images)
    grid = images[0].grid
    for other in images[1:]:
        refuse_other_grid(grid, other.grid, what="sequence")
    return LabelledVolume(
        name=files.name, group=files.group, images=images, label=open_label(files.label, grid), grid=grid
    )


def open_nifti_cases(cases: Iterable[CaseFiles], *, plane: str) -> tuple[LabelledVolume, ...]:
    """Cases of NIfTI files, of which only headers are read; raises as `open_case`."""
    return tuple(open_case(files, open_image=partial(open_nifti_image, plane=plane)) for files in cases)


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
    sequences = [_without_series(pair_files(pattern, labels), volume_index=volume_index) for pattern in patterns]
    return open_nifti_cases(cases_of_pairs(sequences, volume_index=volume_index), plane=plane)


def cases_of_pairs(sequences: Sequence[Pairing], *, volume_index: int | None = None) -> list[CaseFiles]:
    """The cases of one pairing, or of several with the same labels, in the order of the first one's images.

    A case is called what the wildcards matched, and its group is what the first of them matched: the patient, where
    folders are patients.

    Raises:
        ValueError: A file without partner, named.
    """
    by_label = [{pair.label: pair for pair in _complete_pairs(sequence)} for sequence in sequences]
    return [
        CaseFiles(
            name=pair.name,
            group=pair.key[0] if pair.key else pair.name,
            images=tuple(VolumeFile(sequence[label].image, volume_index) for sequence in by_label),
            label=label,
        )
        for label, pair in by_label[0].items()
    ]


def _complete_pairs(pairing: Pairing) -> tuple[Pair, ...]:
    """The pairs of a pairing in which nothing is left over."""
    if pairing.lone_images or pairing.lone_labels:
        lone = [f"{path} has no label" for path in pairing.lone_images]
        lone += [f"{path} has no image" for path in pairing.lone_labels]
        raise ValueError(f"Expected every image to have a label and every label an image, but {'; '.join(lone)}.")
    return pairing.pairs


def _without_series(pairing: Pairing, *, volume_index: int | None) -> Pairing:
    """The pairing without the 4-D series that no label belongs to."""
    series = [path for path in pairing.lone_images if volume_index is None and num_time_points(open_volume(path)) > 1]
    for path in series:
        _logger.warning("%s is a 4-D series without a label and is left out.", path)
    return replace(pairing, lone_images=tuple(path for path in pairing.lone_images if path not in series))
