"""Slices of volumes in training, validation and test parts that share no patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from sam_ft.data.label_names import LabelNames
from sam_ft.data.leaks import refuse_shared_groups
from sam_ft.data.splits import DataSplits, GroupRule, Part, SlabSplit
from sam_ft.data.volumes.cases import LabelledVolume
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.data.volumes.view import View, volume_slices


def volume_splits(
    volumes: Sequence[LabelledVolume],
    test: Sequence[LabelledVolume] = (),
    *,
    split: GroupRule | SlabSplit,
    group: str | None = None,
    objects: ObjectRule | None = None,
    names: LabelNames | None = None,
    **view: Unpack[View],
) -> DataSplits:
    """`volume_slices` in parts.

    Args:
        volumes: What the split divides.
        test: Volumes that are the test part; none: what the split says.
        split: Which volumes or slices belong to which part; its seed, if it has one, draws slices without object too.
        group: Which volumes stay together: a regular expression, see `LabelledVolume.group_by`; None: their groups.
        objects: What counts as an object.
        names: What the label values mean.
        **view: How volumes are cut and shown.

    Raises:
        ValueError: As `volume_slices` and the splits do, a part without slices, one image in two parts, a group of
            `test` in `volumes` too, a `group` with slabs, or neighbours that reach from one slab into another.
    """
    seed = getattr(split, "seed", 0)
    dataset = volume_slices(volumes, objects=objects, names=names, seed=seed, **view)
    parts = _divided(dataset, split, group=group, reach=view.get("neighbours") or 0)
    if not test:
        return parts
    held_out = volume_slices(test, objects=objects, names=names, seed=seed, **view)
    refuse_shared_groups({"train": _groups(volumes, group), "test": _groups(test, group)})
    refuse_twins([*((volume, "train") for volume in volumes), *((volume, "test") for volume in test)])
    return replace(parts, test=held_out)


def _groups(volumes: Sequence[LabelledVolume], rule: str | None) -> Iterator[tuple[str, Path]]:
    return ((volume.group_by(rule), volume.images[0].path) for volume in volumes)


def _divided(dataset: VolumeSlices, split: GroupRule | SlabSplit, *, group: str | None, reach: int) -> DataSplits:
    """The parts of a data set, of which each sample reaches so many slices away."""
    if isinstance(split, SlabSplit):
        if group is not None:
            raise ValueError(f"Expected group=null with slabs, which split every volume, but got {group!r}.")
        parts, has_test = _parts_by_slab(dataset, split, reach=reach), split.test is not None
    else:
        by_volume = _parts_by_group(dataset, split, group=group)
        parts = [[by_volume.get(number)] * volume.grid.num_slices for number, volume in enumerate(dataset.volumes)]
        has_test = "test" in by_volume.values()

    def part(name: Part) -> VolumeSlices:
        return dataset.only(lambda entry: parts[entry.volume][entry.index] == name)

    return DataSplits(train=part("train"), val=part("val"), test=part("test") if has_test else None)


def _parts_by_group(dataset: VolumeSlices, split: GroupRule, *, group: str | None) -> dict[int, Part]:
    """The part of each volume that holds an object."""
    used = sorted({entry.volume for entry in dataset.entries})
    groups = {number: dataset.volumes[number].group_by(group) for number in used}
    parts = split.assign(list(groups.values()))
    by_volume = {number: parts[name] for number, name in groups.items()}
    refuse_twins((dataset.volumes[number], part) for number, part in by_volume.items())
    return by_volume


def refuse_twins(volumes: Iterable[tuple[LabelledVolume, Part]]) -> None:
    """Checks that no two volumes of different parts are the same file under two names, by `FileIdentity.content`.

    Raises:
        ValueError: Such a pair, named.
    """
    by_content: dict[str, list[tuple[Path, Part]]] = defaultdict(list)
    for volume, part in volumes:
        for image in volume.images:
            by_content[image.identity.content].append((image.path, part))
    for (first, first_part), *others in by_content.values():
        for other, part in others:
            if part != first_part:
                raise ValueError(
                    f"Expected no image in two parts, but {first} ({first_part}) and {other} ({part}) have the same "
                    "content: remove one, or keep them together by `group`."
                )


def _parts_by_slab(dataset: VolumeSlices, split: SlabSplit, *, reach: int) -> list[list[Part | None]]:
    """The part of each slice of each volume."""
    grids = [volume.grid for volume in dataset.volumes]
    for grid in grids:
        if reach and split.gap_mm < reach * grid.slice_distance_mm - 1e-6:
            raise ValueError(
                f"Expected gap_mm of at least {reach * grid.slice_distance_mm:g} for {grid.path}, so that the "
                f"neighbours of training slices lie in no held-out slab, but got {split.gap_mm}."
            )
    return [split.assign(grid.num_slices, slice_distance_mm=grid.slice_distance_mm) for grid in grids]
