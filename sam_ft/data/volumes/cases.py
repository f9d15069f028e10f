"""Which images and which label make a case, in files of any format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sam_ft.data.groups import group_in
from sam_ft.data.volumes.grid import SliceGrid, refuse_other_grid
from sam_ft.data.volumes.pairing import Pair, Pairing
from sam_ft.data.volumes.sources import ImageSource, LabelSource


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


def open_case(
    files: CaseFiles,
    *,
    open_image: Callable[[VolumeFile], ImageSource],
    open_label: Callable[[Path, SliceGrid], LabelSource],
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
