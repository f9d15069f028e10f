"""Training, validation and test parts that do not share a patient, a file or neighbouring slices."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sam_ft.types import Sample

Part = Literal["train", "val", "test"]


class SampleDataset(Protocol):
    """A map-style data set of samples at their sources' resolution."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def without_image(samples: SampleDataset, index: int) -> Sample:
    """A sample whose image may be blank: it is left unread where the data set has a method `without_image`."""
    read = getattr(samples, "without_image", None)
    return samples[index] if read is None else read(index)


class GroupRule(Protocol):
    """What divides whole groups: patients, volumes or files."""

    def assign(self, groups: Sequence[str]) -> dict[str, Part]:
        """Group -> the part it belongs to."""
        ...


@dataclass(frozen=True)
class DataSplits:
    """What every data config builds; `test` is None where nothing is held out for it."""

    train: SampleDataset
    val: SampleDataset
    test: SampleDataset | None = None

    def __post_init__(self) -> None:
        for part in ("train", "val", "test"):
            dataset = getattr(self, part)
            if dataset is not None and len(dataset) == 0:
                raise ValueError(f"Expected at least one sample in the {part} part, but got none; change the split.")


@dataclass(frozen=True)
class GroupSplit:
    """A split by whole groups: patients, volumes or files.

    A group's place follows from a hash of its name and the seed, so that it does not depend on the order of the
    files or on the machine.

    Args:
        val: The share of the groups, or the names of the groups, to validate on.
        test: The same for testing; 0 for no test part.
        seed: Another seed, another split.
    """

    val: float | Sequence[str] = 0.2
    test: float | Sequence[str] = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, share in (("val", self.val), ("test", self.test)):
            if isinstance(share, str) or (isinstance(share, (int, float)) and not 0 <= share < 1):
                raise ValueError(f"Expected `{name}` to be a share from 0 to 1 or a list of groups, but got {share!r}.")

    def assign(self, groups: Sequence[str]) -> dict[str, Part]:
        """Group -> the part it belongs to; a share above 0 gets at least one group.

        Raises:
            ValueError: An unknown group, a group in both parts, or too few groups to leave one for training.
        """
        ordered = sorted(set(groups), key=lambda group: hashlib.sha256(f"{self.seed}:{group}".encode()).hexdigest())
        named = {*_names(self.val), *_names(self.test)}
        if unknown := sorted(named - set(ordered)):
            raise ValueError(
                f"Expected the split to name groups of the data ({', '.join(sorted(ordered))}), "
                f"but got {', '.join(unknown)}."
            )
        if both := sorted(set(_names(self.val)) & set(_names(self.test))):
            raise ValueError(f"Expected each group in one part, but got {', '.join(both)} in both val and test.")
        free = [group for group in ordered if group not in named]
        num_val, num_test = _count(self.val, len(ordered)), _count(self.test, len(ordered))
        if num_val + num_test >= len(free):
            raise ValueError(
                f"Expected enough groups to leave one for training, but got {len(ordered)} ({', '.join(ordered)}) for "
                f"val={self.val} and test={self.test}; a single volume is split by slabs (data/split=slabs)."
            )
        parts: dict[str, Part] = dict.fromkeys(ordered, "train")
        parts |= dict.fromkeys((*_names(self.val), *free[:num_val]), "val")
        parts |= dict.fromkeys((*_names(self.test), *free[num_val : num_val + num_test]), "test")
        return parts


@dataclass(frozen=True)
class SlabSplit:
    """A split of every volume along its slice axis: one slab to validate on, one to test on, the rest to train on.

    Neighbouring slices look alike, so slices within `gap_mm` of a held-out slab belong to no part.

    Args:
        val: Where the validation slab begins and ends, as fractions of the axis.
        test: The same for testing; None for no test part.
        gap_mm: Width of the gap on both sides of each slab, rounded up to whole slices.

    Raises:
        ValueError: A slab that is not 0 <= start < stop <= 1, overlapping slabs, or a negative gap.
    """

    val: tuple[float, float]
    test: tuple[float, float] | None = None
    gap_mm: float = 5.0

    def __post_init__(self) -> None:
        for start, stop in self._slabs():
            if not 0 <= start < stop <= 1:
                raise ValueError(f"Expected a slab 0 <= start < stop <= 1 of the axis, but got [{start}, {stop}].")
        if self.test is not None and self.val[0] < self.test[1] and self.test[0] < self.val[1]:
            raise ValueError(f"Expected slabs that do not overlap, but got val={self.val} and test={self.test}.")
        if not self.gap_mm >= 0:
            raise ValueError(f"Expected `gap_mm` of 0 or more, but got {self.gap_mm}.")

    def assign(self, num_slices: int, *, slice_distance_mm: float) -> list[Part | None]:
        """The part of each slice of one volume; None in a gap.

        Raises:
            ValueError: The slabs are closer than the gap, or nothing is left to train on.
        """
        gap = math.ceil(self.gap_mm / slice_distance_mm - 1e-6)
        parts: list[Part | None] = ["train"] * num_slices
        slabs = [(round(start * num_slices), round(stop * num_slices)) for start, stop in self._slabs()]
        for start, stop in slabs:
            first, last = max(start - gap, 0), min(stop + gap, num_slices)
            parts[first:last] = [None] * (last - first)
        for part, (start, stop) in zip(_HELD_OUT, slabs, strict=False):
            parts[start:stop] = [part] * (stop - start)
        ordered = sorted(slabs)
        if len(ordered) == 2 and ordered[1][0] - ordered[0][1] < gap:
            raise ValueError(
                f"Expected at least {gap} slices ({self.gap_mm} mm) between the val and test slabs, "
                f"but got {ordered[1][0] - ordered[0][1]} of {num_slices} slices."
            )
        if "train" not in parts:
            raise ValueError(f"Expected slices left to train on, but {self} takes all {num_slices}.")
        return parts

    def _slabs(self) -> Iterator[tuple[float, float]]:
        yield (self.val[0], self.val[1])
        if self.test is not None:
            yield (self.test[0], self.test[1])


_HELD_OUT: tuple[Part, Part] = ("val", "test")


def _names(share: float | Sequence[str]) -> tuple[str, ...]:
    return () if isinstance(share, (int, float)) else tuple(share)


def _count(share: float | Sequence[str], num_groups: int) -> int:
    if not isinstance(share, (int, float)) or share == 0:
        return 0
    return max(round(share * num_groups), 1)
