"""`NiftiSlices` in training, validation and test parts that share no patient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from sam_ft.data.folds import FoldSplit
from sam_ft.data.label_names import LabelNames, label_names_in
from sam_ft.data.nifti.cases import LabelledVolume
from sam_ft.data.nifti.channels import Window
from sam_ft.data.nifti.objects import ObjectRule
from sam_ft.data.nifti.pairing import folder_of
from sam_ft.data.nifti.slice_cache import SliceCache
from sam_ft.data.nifti.slices import NiftiSlices, SliceEntry
from sam_ft.data.splits import DataSplits, GroupRule, GroupSplit, Part, SlabSplit


class Reading(TypedDict, total=False):
    """The keywords of `NiftiSlices` that a configuration sets."""

    axis: str
    objects: ObjectRule | None
    window: Window | Sequence[Window | None] | None
    slices: tuple[float, float] | None
    volume_index: int | None
    cache: SliceCache | None


@dataclass(frozen=True)
class SliceChoice:
    """Which slices there are beside those with objects, and what is seen of each.

    Args:
        crop: "foreground" for `NiftiSlices.cropped`; None: whole slices.
        neighbours: Distance for `NiftiSlices.with_neighbours`; None: no neighbours.
        empty: Share for `NiftiSlices.with_empty`.

    Raises:
        ValueError: An unknown `crop`.
    """

    crop: Literal["foreground"] | None = None
    neighbours: int | None = None
    empty: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in (None, "foreground"):
            raise ValueError(f'Expected `crop` to be "foreground" or null, but got {self.crop!r}.')

    def of(self, dataset: NiftiSlices, *, seed: int) -> NiftiSlices:
        """The data set with these slices; the seed draws those without object."""
        dataset = dataset.with_empty(self.empty, seed=seed) if self.empty else dataset
        dataset = dataset.cropped() if self.crop else dataset
        return dataset.with_neighbours(self.neighbours) if self.neighbours is not None else dataset


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
        labels: Glob pattern of the labels. A file `labels.json` in the folder that the pattern starts from (its part
            before the first wildcard), such as `{"liver": 1, "ignore": 255}`, names the classes if `objects` does not.
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
            two parts, a label value that `labels.json` does not name, a `group` with slabs, or neighbours that reach
            from one slab into another.
    """
    choice = SliceChoice(crop, neighbours, empty)
    names = label_names_in(folder_of(labels))
    if names is not None:
        reading["objects"] = names.rule(reading.get("objects") or ObjectRule())
    dataset = NiftiSlices(images, labels, **reading)
    expect_named(dataset, names)
    dataset = choice.of(dataset, seed=getattr(split, "seed", 0))
    return divided_slices(dataset, split, group=group, reach=neighbours or 0)


def divided_slices(
    dataset: NiftiSlices, split: GroupRule | SlabSplit, *, group: str | None = None, reach: int = 0
) -> DataSplits:
    """The parts of a data set.

    Args:
        dataset: All slices.
        split: Which volumes or slices belong to which part.
        group: Which volumes stay together, as of `nifti_splits`.
        reach: How many slices away a sample's neighbours are.

    Raises:
        ValueError: As `nifti_splits`.
    """
    if isinstance(split, SlabSplit):
        if group is not None:
            raise ValueError(f"Expected group=null with slabs, which split every volume, but got {group!r}.")
        parts, has_test = _parts_by_slab(dataset, split, reach=reach), split.test is not None
    else:
        parts = _parts_by_group(dataset, split, group=group)
        has_test = "test" in parts.values()

    def part(name: Part) -> NiftiSlices:
        return dataset.only(lambda entry: parts[entry] == name)

    return DataSplits(train=part("train"), val=part("val"), test=part("test") if has_test else None)


def expect_named(dataset: NiftiSlices, names: LabelNames | None) -> None:
    """Refuse label values without a name, where there are names.

    Raises:
        ValueError: There are some; the label's file is named.
    """
    if names is None:
        return
    for path, values in dataset.label_values():
        names.expect_known(values, where=path)


def _parts_by_group(dataset: NiftiSlices, split: GroupRule, *, group: str | None) -> dict[SliceEntry, Part | None]:
    used = sorted({entry.volume for entry in dataset.entries})
    groups = {number: dataset.volumes[number].group_by(group) for number in used}
    parts = split.assign(list(groups.values()))
    by_volume = {number: parts[name] for number, name in groups.items()}
    refuse_twins((dataset.volumes[number], part) for number, part in by_volume.items())
    return {entry: by_volume[entry.volume] for entry in dataset.entries}


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


def _parts_by_slab(dataset: NiftiSlices, split: SlabSplit, *, reach: int) -> dict[SliceEntry, Part | None]:
    grids = [volume.grid for volume in dataset.volumes]
    for grid in grids:
        if reach and split.gap_mm < reach * grid.slice_distance_mm - 1e-6:
            raise ValueError(
                f"Expected gap_mm of at least {reach * grid.slice_distance_mm:g} for {grid.path}, so that the "
                f"neighbours of training slices lie in no held-out slab, but got {split.gap_mm}."
            )
    parts = [split.assign(grid.num_slices, slice_distance_mm=grid.slice_distance_mm) for grid in grids]
    return {entry: parts[entry.volume][entry.index] for entry in dataset.entries}
