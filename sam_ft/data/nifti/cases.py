"""Which images and which label make a case: pairs of one pattern of images, or of three patterns with one label."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sam_ft.data.nifti.grid import SliceGrid, refuse_other_grid
from sam_ft.data.nifti.headers import warn_of_two_affines
from sam_ft.data.nifti.pairing import Pair, Pairing, pair_files
from sam_ft.data.nifti.reading import grid_of, num_time_points, open_volume, read_labels
from sam_ft.data.nifti.sources import ImageSource, LabelSource
from sam_ft.data.nifti.stored import identity_of

_logger = logging.getLogger(__name__)


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
        if rule is None:
            return self.group
        try:
            match = re.search(rule, self.images[0].path.as_posix())
        except re.error as err:
            raise ValueError(f"Expected `group` to be a regular expression, but got {rule!r}: {err}.") from err
        if match is None:
            raise ValueError(
                f"Expected `group` to match every image's path, but {rule!r} is not in {self.images[0].path}."
            )
        return match.group(1) if match.re.groups else match.group()


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
    return cases_of_pairs(sequences, open_image=partial(_open_image, plane=plane, volume_index=volume_index))


def cases_of_pairs(
    sequences: Sequence[Pairing], *, open_image: Callable[[Path], ImageSource]
) -> tuple[LabelledVolume, ...]:
    """The cases of one pairing, or of several with the same labels, in the order of the first one's images.

    Raises:
        ValueError: A file without partner, or a sequence or label on another grid than the first image.
    """
    by_label = [{pair.label: pair for pair in complete_pairs(sequence)} for sequence in sequences]
    return tuple(_open_case([sequence[label] for sequence in by_label], open_image=open_image) for label in by_label[0])


def complete_pairs(pairing: Pairing) -> tuple[Pair, ...]:
    """The pairs of a pairing in which nothing is left over.

    Raises:
        ValueError: A lone file, named.
    """
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


def _open_case(pairs: Sequence[Pair], *, open_image: Callable[[Path], ImageSource]) -> LabelledVolume:
    """The case of one label; one pair for each sequence."""
    images = tuple(open_image(pair.image) for pair in pairs)
    grid, first = images[0].grid, pairs[0]
    for other in images[1:]:
        refuse_other_grid(grid, other.grid, what="sequence")
    return LabelledVolume(
        name=first.name,
        group=first.key[0] if first.key else first.name,
        images=images,
        label=_open_label(first.label, grid=grid),
        grid=grid,
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
    return LabelSource(path, grid, identity_of(label), partial(read_labels, path))
