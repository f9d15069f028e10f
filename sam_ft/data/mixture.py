"""`MixtureSamples`: several data sets as one, whose samples say which of them they are from."""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from sam_ft.checks import expect_whole_number
from sam_ft.data.classes import class_names_of, classes_in
from sam_ft.data.draws import apportioned
from sam_ft.data.source_files import source_files_of
from sam_ft.data.splits import DataSplits, SampleDataset, without_image
from sam_ft.types import Sample

_logger = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class SetPart:
    """One set of a mixture, in one of its parts.

    Attributes:
        samples: The set's own.
        num_draws: Of them in an epoch of training; None: each once.
    """

    samples: SampleDataset
    num_draws: int | None = None


class MixtureSamples:
    """The samples of several sets, one set after another; `Sample.set_name` says the set, and so does the name.

    Objects of two sets whose classes have the same name are of the same class.

    Args:
        sets: Name -> samples.

    Attributes:
        set_names: Of the sets, in their order.
    """

    def __init__(self, sets: Mapping[str, SetPart]) -> None:
        self.sets = dict(sets)
        self.set_names = tuple(self.sets)
        self._until = list(accumulate(len(part.samples) for part in self.sets.values()))

    @property
    def source_files(self) -> tuple[Path, ...] | None:
        """Those that the samples come from; None where they are not known."""
        return source_files_of([part.samples for part in self.sets.values()])

    def __len__(self) -> int:
        return self._until[-1]

    def __getitem__(self, index: int) -> Sample:
        return self._named(index, lambda samples, own: samples[own])

    def without_image(self, index: int) -> Sample:
        """The same sample, of which the image may be blank if its set can leave it unread."""
        return self._named(index, without_image)

    def classes_at(self, index: int) -> tuple[str, ...]:
        """The classes of a sample's objects."""
        name, own = self.place_of(index)
        return classes_in(self.sets[name].samples, own)

    def place_of(self, index: int) -> tuple[str, int]:
        """The set of a sample, and its index there."""
        if not 0 <= index < len(self):
            raise IndexError(f"Expected an index from 0 to {len(self) - 1}, but got {index}.")
        number = bisect_right(self._until, index)
        return self.set_names[number], index - (self._until[number - 1] if number else 0)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes of all sets: those of the first, then what the others add."""
        names = (name for part in self.sets.values() for name in class_names_of(part.samples))
        return tuple(dict.fromkeys(names))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def _named(self, index: int, read: Callable[[SampleDataset, int], Sample]) -> Sample:
        name, own = self.place_of(index)
        sample = read(self.sets[name].samples, own)
        return replace(sample, name=f"{name}-{sample.name}", set_name=name)


def mixture_splits(
    sets: Mapping[str, DataSplits], *, weights: Mapping[str, float] | None = None, epoch_images: int | None = None
) -> DataSplits:
    """Several data sets as one: training draws from them by weight, validation and test are those of all of them.

    Args:
        sets: Name -> the parts of a data set, split as it says itself.
        weights: Name -> how much of an epoch is drawn from the set, relative to the others; of 0 a set is only
            validated on and tested. None: in proportion to the sets' training images.
        epoch_images: How many images an epoch draws; None: as many as there are training images in the sets that are
            drawn from.

    Raises:
        ValueError: No sets, a name of other characters than letters, digits and _, weights of other sets or out of
            range, or an epoch too short to draw from every set.
    """
    _expect_sets(sets)
    sizes = {name: len(splits.train) for name, splits in sets.items()}
    given = dict(sizes if weights is None else _expect_weights(weights, sets))
    drawn = {name: given[name] for name in sets if given[name] > 0}
    if epoch_images is None:
        length = sum(sizes[name] for name in drawn)
    else:
        length = expect_whole_number("epoch_images", epoch_images, least=1)
    num_draws = dict(zip(drawn, apportioned(list(drawn.values()), length), strict=True))
    if never := [name for name, count in num_draws.items() if not count]:
        raise ValueError(
            f"Expected an epoch that draws from every set, but of {length} images none is from {', '.join(never)}: "
            "give a larger `epoch_images`, or other weights."
        )
    _logger.info(
        "Mixture: an epoch draws %d images: %s.", length,
        ", ".join(f"{count} of {name} ({sizes[name]} images)" for name, count in num_draws.items()),
    )  # fmt: skip
    tests = {name: SetPart(splits.test) for name, splits in sets.items() if splits.test is not None}
    return DataSplits(
        train=MixtureSamples({name: SetPart(sets[name].train, num_draws=count) for name, count in num_draws.items()}),
        val=MixtureSamples({name: SetPart(splits.val) for name, splits in sets.items()}),
        test=MixtureSamples(tests) if tests else None,
    )


def set_names_of(samples: SampleDataset) -> tuple[str, ...]:
    """The names of the sets of a mixture; empty for any other data set."""
    return samples.set_names if isinstance(samples, MixtureSamples) else ()


def _expect_sets(sets: Mapping[str, DataSplits]) -> None:
    if not isinstance(sets, Mapping) or not sets:
        raise ValueError(
            f"Expected at least one set in the mixture, but got {sets!r}: add +data@data.sets.NAME=image_mask "
            "data.sets.NAME.root=..., for each."
        )
    for name, splits in sets.items():
        if not _NAME.fullmatch(str(name)):
            raise ValueError(f"Expected names of sets with letters, digits and _ alone, but got {name!r}.")
        if not isinstance(splits, DataSplits):
            raise ValueError(
                f"Expected a data set of name {name}, but got {splits!r}: choose it by +data@data.sets.{name}=..."
            )
        if isinstance(splits.train, MixtureSamples):
            raise ValueError(f"Expected sets that are no mixtures themselves, but {name} is one: name its sets here.")


def _expect_weights(weights: Mapping[str, float], sets: Mapping[str, DataSplits]) -> Mapping[str, float]:
    if not isinstance(weights, Mapping) or weights.keys() != sets.keys():
        known = list(weights) if isinstance(weights, Mapping) else weights
        raise ValueError(f"Expected `weights` of each of the sets ({', '.join(sets)}), but got those of {known}.")
    for name, weight in weights.items():
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight < float("inf"):
            raise ValueError(f"Expected a weight of 0 or more of {name}, but got {weight!r}.")
    if not any(weights.values()):
        raise ValueError("Expected a weight above 0 of at least one set, but all are 0.")
    return weights
