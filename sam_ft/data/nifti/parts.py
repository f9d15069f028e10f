"""`NiftiSlices` in training, validation and test parts that share no patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from sam_ft.data.folds import FoldSplit
from sam_ft.data.nifti.channels import Window
from sam_ft.data.nifti.objects import ObjectRule
from sam_ft.data.nifti.slice_cache import SliceCache
from sam_ft.data.nifti.slices import NiftiSlices, SliceEntry, VolumeSlices
from sam_ft.data.splits import DataSplits, GroupSplit, Part, SlabSplit


class Reading(TypedDict, total=False):
    """The keywords of `NiftiSlices` that a configuration sets."""

    axis: str
    objects: ObjectRule | None
    window: Window | Sequence[Window | None] | None
    slices: tuple[float, float] | None
    volume_index: int | None
    cache: SliceCache | None


def nifti_splits(
    images: str | Sequence[str],
    labels: str,
    *,
    split: GroupSplit | FoldSplit | SlabSplit,
    group: str | None = None,
    crop: Literal["foreground"] | None = None,
    neighbours: int | None = None,
    empty: float = 0.0,
    **reading: Unpack[Reading],
) -> DataSplits:
    """`NiftiSlices` in parts: by whole groups of volumes, or along the axis of each (`SlabSplit`).

    Args:
        images: Glob pattern of the images, or three.
        labels: Glob pattern of the labels.
        split: Which volumes or slices belong to which part.
        group: Which volumes stay together (one patient's sessions): those for which the first parentheses of this
            regular expression match the same text in the image's path, such as `"(sub-[0-9]+)"`. None: those for
            which the first wildcard matched the same text.
        crop: "foreground" for `NiftiSlices.cropped`; None: whole slices.
        neighbours: Distance for `NiftiSlices.with_neighbours`; None: no neighbours.
        empty: Share for `NiftiSlices.with_empty`, drawn by the seed of the split.
        **reading: As of `NiftiSlices`.

    Raises:
        ValueError: As `NiftiSlices` and the splits do, an unknown `crop`, a part without slices, one image in
            two parts, a `group` with slabs, or neighbours that reach from one slab into another.
    """
    dataset = NiftiSlices(images, labels, **reading)
    return volume_splits(dataset, split=split, group=group, crop=crop, neighbours=neighbours, empty=empty)


def volume_splits(
    dataset: VolumeSlices,
    *,
    split: GroupSplit | FoldSplit | SlabSplit,
    group: str | None = None,
    crop: Literal["foreground"] | None = None,
    neighbours: int | None = None,
    empty: float = 0.0,
) -> DataSplits:
    """Slices in parts; the arguments and errors are those of `nifti_splits`."""
    if crop not in (None, "foreground"):
        raise ValueError(f'Expected `crop` to be "foreground" or null, but got {crop!r}.')
    dataset = dataset.with_empty(empty, seed=getattr(split, "seed", 0)) if empty else dataset
    dataset = dataset.cropped() if crop else dataset
    dataset = dataset.with_neighbours(neighbours) if neighbours is not None else dataset
    if isinstance(split, SlabSplit):
        if group is not None:
            raise ValueError(f"Expected group=null with slabs, which split every volume, but got {group!r}.")
        parts = _parts_by_slab(dataset, split, reach=neighbours or 0)
    else:
        parts = _parts_by_group(dataset, split, group=group)

    def part(name: Part) -> VolumeSlices:
        return dataset.only(lambda entry: parts[entry] == name)

    return DataSplits(train=part("train"), val=part("val"), test=part("test") if split.test else None)


def _parts_by_group(
    dataset: VolumeSlices, split: GroupSplit | FoldSplit, *, group: str | None
) -> dict[SliceEntry, Part | None]:
    used = sorted({entry.volume for entry in dataset.entries})
    groups = {number: dataset.volumes[number].group_by(group) for number in used}
    parts = split.assign(list(groups.values()))
    by_volume = {number: parts[name] for number, name in groups.items()}
    refuse_twins(dataset, by_volume)
    return {entry: by_volume[entry.volume] for entry in dataset.entries}


def refuse_twins(dataset: VolumeSlices, parts: Mapping[int, Part]) -> None:
    """Checks that no two volumes of different parts are the same file under two names.

    Args:
        dataset: Whose volumes are compared, by `FileIdentity.content`.
        parts: Number of a volume -> its part.

    Raises:
        ValueError: Such a pair, named.
    """
    by_content: dict[str, list[tuple[Path, Part]]] = defaultdict(list)
    for number, part in parts.items():
        for image in dataset.volumes[number].images:
            by_content[image.identity.content].append((image.path, part))
    for (first, first_part), *others in by_content.values():
        for other, part in others:
            if part != first_part:
                raise ValueError(
                    f"Expected no image in two parts, but {first} ({first_part}) and {other} ({part}) have the same "
                    "content: remove one, or keep them together by `group`."
                )


def _parts_by_slab(dataset: VolumeSlices, split: SlabSplit, *, reach: int) -> dict[SliceEntry, Part | None]:
    grids = [volume.grid for volume in dataset.volumes]
    for grid in grids:
        if reach and split.gap_mm < reach * grid.slice_distance_mm - 1e-6:
            raise ValueError(
                f"Expected gap_mm of at least {reach * grid.slice_distance_mm:g} for {grid.path}, so that the "
                f"neighbours of training slices lie in no held-out slab, but got {split.gap_mm}."
            )
    parts = [split.assign(grid.num_slices, slice_distance_mm=grid.slice_distance_mm) for grid in grids]
    return {entry: parts[entry.volume][entry.index] for entry in dataset.entries}
