"""`NiftiSlices`: slices of paired image and label volumes as samples."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import numpy as np
import torch

from sam_ft.data.nifti.grid import SliceGrid
from sam_ft.data.nifti.objects import ObjectRule
from sam_ft.data.nifti.pairing import Pair, Pairing, pair_files
from sam_ft.data.nifti.reading import (
    grid_of,
    num_time_points,
    open_volume,
    read_labels,
    read_pictures,
    read_voxels,
)
from sam_ft.data.splits import DataSplits, GroupSplit, Part, SlabSplit
from sam_ft.transforms import foreground_mask, resolve_window
from sam_ft.types import Sample

_logger = logging.getLogger(__name__)
_MIB = 2**20


@dataclass(frozen=True)
class LabelledVolume:
    """One image volume with its label volume."""

    name: str  # what the wildcards matched; unique in its data set
    group: str  # what the first wildcard matched: the patient, where folders are patients
    image: Path
    label: Path
    grid: SliceGrid


@dataclass(frozen=True)
class SliceEntry:
    """Where one sample comes from: `volumes[volume]`, slice `index` along the grid's axis."""

    volume: int
    index: int


class NiftiSlices:
    """The slices of NIfTI volumes that hold an object.

    Images and labels are paired by `pair_files`. Volumes are turned to RAS+, cut along `axis`, shown by the
    convention in `grid`, and given square pixels (`Sample.pixel_mm` says how large). Construction reads every
    label once and no image; afterwards volumes are decoded when first needed.

    Args:
        images: Glob pattern of the images, such as `"data/*/image.nii.gz"`.
        labels: Glob pattern of the labels, such as `"data/*/label.nii.gz"`.
        axis: "axial", "coronal" or "sagittal".
        objects: What counts as an object; None: every label value, from 10 pixels on.
        window: A CT window by name (`sam_ft.transforms.CT_WINDOWS`) or as (level, width) in HU. None: the 0.5 to
            99.5 percentiles of each volume's foreground, as for MR.
        slices: Which slices of each volume: two fractions of the axis such as (0.2, 0.8), or two indices such as
            (40, 90), the second one excluded. None: all.
        volume_index: Which volume of 4-D images. None: a labelled 4-D image is an error, and one without a label
            is left out with a warning, since no 3-D label can belong to it.
        cache_mib: Decoded volumes kept in memory, in MiB for each process; at least one volume is kept.

    Attributes:
        volumes: The labelled volumes.
        entries: Where each sample comes from.
        suited_augmentation: The preset of `sam_ft.data.augment` for slices.

    Raises:
        ValueError: A file without partner or with several, a label on another grid than its image or not of
            integers, an unknown axis or window, or no object in any slice.
    """

    suited_augmentation = "medical"

    def __init__(
        self,
        images: str,
        labels: str,
        *,
        axis: str = "axial",
        objects: ObjectRule | None = None,
        window: str | tuple[float, float] | None = None,
        slices: tuple[float, float] | None = None,
        volume_index: int | None = None,
        cache_mib: int = 512,
    ) -> None:
        self.window = None if window is None else resolve_window(window)
        self.objects = objects or ObjectRule()
        self.volume_index = volume_index
        pairs = _complete_pairs(pair_files(images, labels), volume_index=volume_index)
        self.volumes = tuple(_open_pair(pair, axis=axis, volume_index=volume_index) for pair in pairs)
        self._cache = _VolumeCache(cache_mib * _MIB)
        self.entries = self._find_objects(slices)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        volume = self.volumes[entry.volume]
        grid = volume.grid
        masks, class_names = self.objects.objects_of(
            grid.labels_to_picture(grid.cut(self._decoded(entry.volume)[1], entry.index)), pixel_mm=grid.pixel_mm
        )
        return Sample(
            image=self.picture(entry),
            masks=torch.from_numpy(masks),
            class_names=class_names,
            name=self.name_of(entry),
            pixel_mm=grid.pixel_mm,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def name_of(self, entry: SliceEntry) -> str:
        """`Sample.name` of a slice, without reading it."""
        volume = self.volumes[entry.volume]
        return f"{volume.name}_{volume.grid.plane}_{entry.index:03d}"

    def picture(self, entry: SliceEntry) -> torch.Tensor:
        """(H, W, 3) uint8: any slice of a volume, also one without objects."""
        grid = self.volumes[entry.volume].grid
        grey = grid.image_to_picture(grid.cut(self._decoded(entry.volume)[0], entry.index))
        return torch.from_numpy(np.repeat(grey[..., None], 3, axis=-1))  # (H, W, 3)

    def only(self, keep: Callable[[SliceEntry], bool]) -> NiftiSlices:
        """The same data set with fewer slices; volumes and decoded memory are shared."""
        subset = copy.copy(self)
        subset.entries = tuple(entry for entry in self.entries if keep(entry))
        return subset

    def cropped(self) -> NiftiSlices:
        """The same slices without the empty margin: the rectangle that holds the foreground of the whole volume.

        Foreground is what `sam_ft.transforms.foreground_mask` finds; every image is read once. What is written back
        lies on the whole grid all the same.

        Raises:
            ValueError: A label outside its image's foreground.
        """
        cropped = copy.copy(self)
        cropped.volumes = tuple(_without_margin(volume, volume_index=self.volume_index) for volume in self.volumes)
        return cropped

    def _decoded(self, volume_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Canonical uint8 image and integer labels of one volume."""
        cached = self._cache.get(volume_index)
        if cached is None:
            volume = self.volumes[volume_index]
            image = read_pictures(volume.image, ct_window=self.window, volume_index=self.volume_index)
            cached = image, read_labels(volume.label, image_grid=volume.grid)
            self._cache.put(volume_index, cached)
        return cached

    def _find_objects(self, slices: tuple[float, float] | None) -> tuple[SliceEntry, ...]:
        """One pass over the labels: which slices hold an object."""
        entries: list[SliceEntry] = []
        num_slices = 0
        empty: list[str] = []
        present: set[int] = set()
        for number, volume in enumerate(self.volumes):
            labels = read_labels(volume.label, image_grid=volume.grid)
            values = {int(value) for value in np.unique(labels)} - {0}
            present |= values
            chosen = slice_range(slices, num_slices=volume.grid.num_slices)
            found = [index for index in chosen if self._has_object(volume.grid, labels, index)]
            entries += [SliceEntry(number, index) for index in found]
            num_slices += len(chosen)
            if not found:
                empty.append(str(volume.label))
        self._report(present, empty=empty, num_found=len(entries), num_slices=num_slices)
        return tuple(entries)

    def _has_object(self, grid: SliceGrid, labels: np.ndarray, index: int) -> bool:
        plane = grid.cut(labels, index)
        if not plane.any():
            return False
        return bool(self.objects.objects_of(grid.labels_to_picture(plane), pixel_mm=grid.pixel_mm)[1])

    def _report(self, present: set[int], *, empty: list[str], num_found: int, num_slices: int) -> None:
        if not num_found:
            raise ValueError(
                f"Expected at least one object in {num_slices} slices of {len(self.volumes)} volumes (the first label "
                f"is {self.volumes[0].label}), but none remains; label values found: {sorted(present) or 'none'}; "
                f"{self.objects}."
            )
        for name, values in self.objects.values_by_class(sorted(present)).items():
            if present.isdisjoint(values):
                _logger.warning("Class %r (%s) occurs in no label.", name, ", ".join(map(str, values)))
        if empty:
            _logger.warning(
                "%d of %d label volumes hold no object and are left out: %s",
                len(empty), len(self.volumes), ", ".join(empty),
            )  # fmt: skip
        _logger.info("%d of %d slices in %d volumes hold an object.", num_found, num_slices, len(self.volumes))


class Reading(TypedDict, total=False):
    """The keywords of `NiftiSlices` that a configuration sets."""

    axis: str
    objects: ObjectRule | None
    window: str | tuple[float, float] | None
    slices: tuple[float, float] | None
    volume_index: int | None
    cache_mib: int


def nifti_splits(
    images: str,
    labels: str,
    *,
    split: GroupSplit | SlabSplit,
    crop: Literal["foreground"] | None = None,
    **reading: Unpack[Reading],
) -> DataSplits:
    """`NiftiSlices` in parts: by whole volumes (`GroupSplit`) or along the axis of each (`SlabSplit`).

    Volumes for which the first wildcard matched the same text (one patient's sessions) stay together.

    Args:
        images: Glob pattern of the images.
        labels: Glob pattern of the labels.
        split: Which volumes or slices belong to which part.
        crop: "foreground" for `NiftiSlices.cropped`; None: whole slices.
        **reading: As of `NiftiSlices`.

    Raises:
        ValueError: As `NiftiSlices` and the splits do, an unknown `crop`, or a part without slices.
    """
    if crop not in (None, "foreground"):
        raise ValueError(f'Expected `crop` to be "foreground" or null, but got {crop!r}.')
    dataset = NiftiSlices(images, labels, **reading)
    if crop:
        dataset = dataset.cropped()
    parts = _parts_by_group(dataset, split) if isinstance(split, GroupSplit) else _parts_by_slab(dataset, split)

    def part(name: Part) -> NiftiSlices:
        return dataset.only(lambda entry: parts[entry] == name)

    return DataSplits(train=part("train"), val=part("val"), test=part("test") if split.test else None)


def slice_range(slices: Sequence[float] | None, *, num_slices: int) -> range:
    """The slices that (start, stop) means: fractions of the axis if both are floats, indices if both are integers.

    Raises:
        ValueError: Not two numbers of one kind with start < stop, or fractions outside 0 to 1.
    """
    if slices is None:
        return range(num_slices)
    start, stop = slices if len(slices) == 2 else (None, None)
    if isinstance(start, float) and isinstance(stop, float) and 0 <= start < stop <= 1:
        return range(round(start * num_slices), round(stop * num_slices))
    if type(start) is int and type(stop) is int and 0 <= start < stop:
        return range(min(start, num_slices), min(stop, num_slices))
    raise ValueError(
        "Expected `slices` to be two fractions 0.0 <= start < stop <= 1.0 or two indices 0 <= start < stop, "
        f"but got {list(slices)}."
    )


def _parts_by_group(dataset: NiftiSlices, split: GroupSplit) -> dict[SliceEntry, Part | None]:
    used = {entry.volume for entry in dataset.entries}
    parts = split.assign([dataset.volumes[number].group for number in sorted(used)])
    return {entry: parts[dataset.volumes[entry.volume].group] for entry in dataset.entries}


def _parts_by_slab(dataset: NiftiSlices, split: SlabSplit) -> dict[SliceEntry, Part | None]:
    grids = [volume.grid for volume in dataset.volumes]
    parts = [split.assign(grid.num_slices, slice_distance_mm=grid.slice_distance_mm) for grid in grids]
    return {entry: parts[entry.volume][entry.index] for entry in dataset.entries}


def _complete_pairs(pairing: Pairing, *, volume_index: int | None) -> tuple[Pair, ...]:
    """The pairs of a pairing without lone files; see `NiftiSlices` on 4-D images.

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


def _open_pair(pair: Pair, *, axis: str, volume_index: int | None) -> LabelledVolume:
    image = open_volume(pair.image)
    if volume_index is None and num_time_points(image) > 1:
        raise ValueError(
            f"Expected a volume of 3 dimensions in {pair.image}, but its shape is {image.shape}; "
            f"choose one volume of the series with volume_index=0 ... {num_time_points(image) - 1}."
        )
    grid = grid_of(image, path=pair.image, plane=axis)
    group = pair.key[0] if pair.key else pair.name
    return LabelledVolume(name=pair.name, group=group, image=pair.image, label=pair.label, grid=grid)


def _without_margin(volume: LabelledVolume, *, volume_index: int | None) -> LabelledVolume:
    """The same volume, of whose slices only the foreground's rectangle is shown; see `NiftiSlices.cropped`."""
    voxels = read_voxels(open_volume(volume.image), path=volume.image, volume_index=volume_index)
    grid = volume.grid.around(volume.grid.to_canonical(foreground_mask(voxels)))
    labels = read_labels(volume.label, image_grid=grid)
    hidden = np.count_nonzero(labels) - sum(
        np.count_nonzero(grid.cut(labels, index)) for index in range(grid.num_slices)
    )
    if hidden:
        raise ValueError(
            f"Expected every label of {volume.label} within the foreground of {volume.image}, but {hidden} voxels lie "
            "outside: crop=null shows the whole slices."
        )
    return replace(volume, grid=grid)


class _VolumeCache:
    """The decoded volumes used last, up to a number of bytes; left behind when pickled to a worker."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._volumes: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def get(self, key: int) -> tuple[np.ndarray, np.ndarray] | None:
        if key in self._volumes:
            self._volumes.move_to_end(key)
        return self._volumes.get(key)

    def put(self, key: int, volume: tuple[np.ndarray, np.ndarray]) -> None:
        self._volumes[key] = volume
        while len(self._volumes) > 1 and self._num_bytes() > self.max_bytes:
            self._volumes.popitem(last=False)

    def _num_bytes(self) -> int:
        return sum(image.nbytes + label.nbytes for image, label in self._volumes.values())

    def __getstate__(self) -> dict[str, object]:
        return {"max_bytes": self.max_bytes, "_volumes": OrderedDict()}
