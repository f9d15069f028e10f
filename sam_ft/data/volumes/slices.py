"""Slices of image and label volumes as samples."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch

from sam_ft.checks import shortened
from sam_ft.data.empty import share_of_empty
from sam_ft.data.label_names import LabelNames
from sam_ft.data.volumes.cases import LabelledVolume
from sam_ft.data.volumes.channels import Channel, Channels, with_neighbours
from sam_ft.data.volumes.margin import without_margin
from sam_ft.data.volumes.object_table import masks_in, small_in, table_of
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.transforms import rescale, window
from sam_ft.types import Sample, blank_image

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class SliceEntry:
    """Where one sample comes from: `volumes[volume]`, slice `index` along the grid's axis."""

    volume: int
    index: int


class VolumeSlices:
    """The slices of labelled volumes that hold an object.

    Volumes are turned to RAS+, cut along an axis, shown by the convention in `grid`, and given square pixels
    (`Sample.pixel_mm` says how large). Construction reads every label once (in a later run from the cache) and no
    image; a volume is decoded when one of its slices is first needed.

    Args:
        volumes: Images with their labels, cut along one axis.
        channels: What red, green and blue show.
        objects: What counts as an object; None: every label value, from 10 pixels on.
        names: What the label values mean; classes that `objects` does not name are these. None: each a class.
        slices: Which slices of each volume: two fractions of the axis such as (0.2, 0.8), or two indices such as
            (40, 90), the second one excluded; where one has a decimal point, both are fractions. None: all.
        cache: Where decoded volumes are kept and how many; None: `SliceCache()`.

    Attributes:
        entries: Where each sample comes from.
        suited_augmentation: The preset of `sam_ft.data.augment` for slices.

    Raises:
        ValueError: A label on another grid than its image or not of integers, a file that has no window where its own
            is asked for, a label value that `names` does not know, or no object in any slice.
    """

    suited_augmentation = "medical"

    def __init__(
        self,
        volumes: Sequence[LabelledVolume],
        *,
        channels: Channels,
        objects: ObjectRule | None = None,
        names: LabelNames | None = None,
        slices: tuple[float, float] | None = None,
        cache: SliceCache | None = None,
    ) -> None:
        self.volumes = tuple(volumes)
        self.channels = channels
        rule = objects or ObjectRule()
        self.objects = rule if names is None else names.rule(rule)
        self.cache = cache or SliceCache()
        _expect_windows(self.volumes, channels)
        self._tables = tuple(table_of(volume.label, rule=self.objects, cache=self.cache) for volume in self.volumes)
        if names is not None:
            for volume, table in zip(self.volumes, self._tables, strict=True):
                names.expect_known(table.values, where=volume.label.path)
        self._chosen = tuple(
            SliceEntry(number, index)
            for number, volume in enumerate(self.volumes)
            for index in slice_range(slices, num_slices=volume.grid.num_slices)
        )
        self.entries = tuple(entry for entry in self._chosen if self._holds_object(entry))
        self._ranges: dict[tuple[int, int], tuple[float, float]] = {}
        self._report(num_slices=len(self._chosen))

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those that images and labels are read from, of volumes without an object too."""
        numbers = sorted({entry.volume for entry in self._chosen})
        return tuple(
            path
            for volume in (self.volumes[number] for number in numbers)
            for identity in (*(image.identity for image in volume.images), volume.label.identity)
            for path in identity.paths
        )

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        return replace(self.without_image(index), image=self.picture(self.entries[index]))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image in place of its own, which is not read."""
        entry = self.entries[index]
        volume = self.volumes[entry.volume]
        grid = volume.grid
        masks, class_names = masks_in(
            volume.label, entry.index,
            grid=grid, rule=self.objects, table=self._tables[entry.volume], cache=self.cache,
        )  # fmt: skip
        return Sample(
            image=blank_image(*grid.picture_size),
            masks=torch.from_numpy(masks),
            class_names=class_names,
            name=self.name_of(entry),
            pixel_mm=grid.pixel_mm,
            ignored=self._ignored(entry),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes that the rule names, in its order; None where the label values are the classes."""
        return None if self.objects.classes is None else tuple(self.objects.classes)

    @property
    def class_values(self) -> dict[str, tuple[int, ...]]:
        """Class -> its label values; where the rule names none, a class for each value that any volume holds."""
        present = {value for table in self._tables for value in table.values}
        return self.objects.values_by_class(sorted(present))

    def name_of(self, entry: SliceEntry) -> str:
        """`Sample.name` of a slice, without reading it."""
        volume = self.volumes[entry.volume]
        return f"{volume.name}_{volume.grid.plane}_{entry.index:03d}"

    def picture(self, entry: SliceEntry) -> torch.Tensor:
        """(H, W, 3) uint8: any slice of a volume, also one without objects."""
        shown = {channel: self._channel(entry, channel) for channel in dict.fromkeys(self.channels)}
        picture = np.empty((*next(iter(shown.values())).shape, 3), dtype=np.uint8)  # (H, W, 3)
        for place, channel in enumerate(self.channels):
            picture[..., place] = shown[channel]
        return torch.from_numpy(picture)

    def only(self, keep: Callable[[SliceEntry], bool]) -> Self:
        """The same data set with fewer slices, of those without object too; volumes and decoded memory are shared."""
        entries, chosen = (tuple(filter(keep, these)) for these in (self.entries, self._chosen))
        return self._changed(entries=entries, _chosen=chosen)

    def cropped(self) -> Self:
        """The same slices without the empty margin: the rectangle that holds the foreground of the whole volume.

        Foreground is what `sam_ft.transforms.foreground_mask` finds in any of the case's images; every image is read
        once. What is written back lies on the whole grid all the same.

        Raises:
            ValueError: A label outside its image's foreground.
        """
        return self._changed(
            volumes=tuple(
                without_margin(volume, labelled=table.extent, cache=self.cache)
                for volume, table in zip(self.volumes, self._tables, strict=True)
            )
        )

    def with_neighbours(self, distance: int) -> Self:
        """The same slices, with those `distance` before and after as red and blue; at an end, the last one again.

        Raises:
            ValueError: A distance below 1, or channels that show sequences or windows already.
        """
        return self._changed(channels=with_neighbours(self.channels, distance))

    def with_empty(self, share: float, *, seed: int = 0) -> Self:
        """The same slices and a share, drawn by the seed, of those that hold no object at all, not even a small one.

        Raises:
            ValueError: A share that is not from 0 to 1.
        """
        empty = [entry for entry in self._chosen if not self._largest_px(entry)]
        return self._changed(entries=tuple(sorted({*self.entries, *share_of_empty(empty, share, seed=seed)})))

    def every_slice(self) -> Self:
        """The same slices and all others, those without any object and those with none but too small ones."""
        return self._changed(entries=self._chosen)

    def too_small(self, entry: SliceEntry) -> Mapping[str, np.ndarray]:
        """Class -> (H, W) bool, its objects in a slice that are too small to count; of classes with such an object."""
        if not self._largest_px(entry):
            return {}
        volume = self.volumes[entry.volume]
        return small_in(
            volume.label, entry.index,
            grid=volume.grid, rule=self.objects, table=self._tables[entry.volume], cache=self.cache,
        )  # fmt: skip

    def _changed(self, **attributes: object) -> Self:
        other = copy.copy(self)
        other.__dict__.update(attributes)
        return other

    def _channel(self, entry: SliceEntry, channel: Channel) -> np.ndarray:
        """(H, W) uint8 of one channel."""
        volume = self.volumes[entry.volume]
        grid, image = volume.grid, volume.images[channel.sequence]
        index = entry.index
        if channel.offset:
            index = min(max(index + channel.offset, 0), grid.num_slices - 1)
        plane = grid.shown(image.plane(index, cache=self.cache))
        shown = image.stored.window if channel.window == "file" else channel.window
        if shown is None:
            low, high = self._range_of(entry.volume, channel.sequence)
            return grid.image_to_picture(rescale(plane, low=low, high=high))
        level, width = shown
        return grid.image_to_picture(window(plane, level=level, width=width))

    def _ignored(self, entry: SliceEntry) -> torch.Tensor | None:
        """(H, W) bool of the pixels whose class nobody knows; None where the rule ignores no value."""
        if not self.objects.ignored_values:
            return None
        volume = self.volumes[entry.volume]
        plane = volume.grid.shown(volume.label.plane(entry.index, cache=self.cache))
        ignored = self.objects.ignored_in(volume.grid.labels_to_picture(plane))
        return None if ignored is None else torch.from_numpy(ignored)

    def _range_of(self, number: int, sequence: int) -> tuple[float, float]:
        if (number, sequence) not in self._ranges:
            self._ranges[number, sequence] = self.volumes[number].images[sequence].intensity_range(self.cache)
        return self._ranges[number, sequence]

    def _largest_px(self, entry: SliceEntry) -> int:
        """The area of a slice's largest object, however small; 0 where there is none."""
        return self._tables[entry.volume].largest_px[entry.index]

    def _holds_object(self, entry: SliceEntry) -> bool:
        smallest = self.objects.smallest_px(self.volumes[entry.volume].grid.pixel_mm)
        return self._tables[entry.volume].holds_object(entry.index, smallest_px=smallest)

    def _report(self, *, num_slices: int) -> None:
        present = {value for table in self._tables for value in table.values}
        if not self.entries:
            listed = shortened(str(sorted(present) or "none"), 200)
            raise ValueError(
                f"Expected at least one object in {num_slices} slices of {len(self.volumes)} volumes (the first label "
                f"is {self.volumes[0].label.path}), but none remains; label values found: {listed}; {self.objects}."
            )
        for name, values in self.class_values.items():
            if present.isdisjoint(values):
                _logger.warning("Class %r (%s) occurs in no label.", name, ", ".join(map(str, values)))
        used = {entry.volume for entry in self.entries}
        empty = [str(volume.label.path) for number, volume in enumerate(self.volumes) if number not in used]
        if empty:
            text = "%d of %d label volumes hold no object and are left out: %s"
            _logger.warning(text, len(empty), len(self.volumes), ", ".join(empty))
        _logger.info("%d of %d slices in %d volumes hold an object.", len(self.entries), num_slices, len(self.volumes))


def slice_range(slices: Sequence[float] | None, *, num_slices: int) -> range:
    """The slices that (start, stop) means: indices if both are integers, else fractions of the axis.

    Raises:
        ValueError: Not two numbers with start < stop, or fractions outside 0 to 1.
    """
    if slices is None:
        return range(num_slices)
    if len(slices) == 2 and all(type(bound) in (int, float) for bound in slices) and 0 <= slices[0] < slices[1]:
        start, stop = slices
        if type(start) is int and type(stop) is int:
            return range(min(start, num_slices), min(stop, num_slices))
        if stop <= 1:
            return range(round(start * num_slices), round(stop * num_slices))
    raise ValueError(
        "Expected `slices` to be two integers 0 <= start < stop, which are indices, or two fractions "
        f"0 <= start < stop <= 1 with a decimal point in at least one, but got {list(slices)}."
    )


def _expect_windows(volumes: Sequence[LabelledVolume], channels: Channels) -> None:
    """Refuse window=file where a file has none."""
    for number in {channel.sequence for channel in channels if channel.window == "file"}:
        for image in (volume.images[number] for volume in volumes):
            if image.stored.window is None:
                raise ValueError(
                    f"Expected {image.path} to ask for a window, as window=file says, but it does not: choose another."
                )
