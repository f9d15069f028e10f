"""`SemanticMaps`: images with label maps of class numbers, paired by file name."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from sam_ft.data.folders import expanded, folder_splits, pair_by_stem, read_checked
from sam_ft.data.image_files import read_image
from sam_ft.data.pixels import Look, PixelRule
from sam_ft.data.splits import DataSplits, GroupSplit
from sam_ft.files import is_file
from sam_ft.types import Sample, blank_image

_logger = logging.getLogger(__name__)

Values = int | Sequence[int]


@dataclass(frozen=True)
class ClassValues:
    """What the numbers in a label map mean; every other number is background.

    Args:
        classes: Name -> the number of the class, or several.
        ignored: Numbers of pixels whose class nobody knows, such as 255.

    Raises:
        ValueError: No classes, something that is no number of 0 and above, or a number with two meanings.
    """

    classes: Mapping[str, Values]
    ignored: Values = ()

    def __post_init__(self) -> None:
        if not isinstance(self.classes, Mapping) or not self.classes:
            raise ValueError(f"Expected `classes` to name at least one class, but got {self.classes!r}.")
        taken: dict[int, str] = {}
        for name, values in [*self.classes.items(), ("ignored", self.ignored)]:
            numbers = _as_tuple(values)
            if not all(type(value) is int and value >= 0 for value in numbers) or (not numbers and name != "ignored"):
                raise ValueError(f"Expected {name!r} to have whole numbers of 0 and above, but got {values!r}.")
            for value in numbers:
                if value in taken:
                    raise ValueError(f"Expected one meaning of {value}, but got {taken[value]!r} and {name!r}.")
                taken[value] = name

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, in the order given."""
        return tuple(self.classes)

    def masks_of(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """The pixels of each class that occurs: name -> (H, W) bool."""
        masks = {name: np.isin(labels, _as_tuple(values)) for name, values in self.classes.items()}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def ignored_in(self, labels: np.ndarray) -> np.ndarray | None:
        """(H, W) bool; None where nothing is ever ignored."""
        return np.isin(labels, _as_tuple(self.ignored)) if _as_tuple(self.ignored) else None


def read_class_values(path: Path) -> ClassValues:
    """The classes of a JSON file such as `{"classes": {"0": "sky", "1": "road"}, "void": 255}`.

    The names may also come first (`{"sky": 0}`); `void` may be a list or missing. A class whose number is void is none.

    Raises:
        ValueError: The file is missing or says something else; it is named.
    """
    if not is_file(path):
        raise ValueError(f'Expected `classes` such as {{road: 3}}, or {path} with {{"classes": {{"3": "road"}}}}.')
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        void = _as_tuple(content.get("void", ()))
        pairs = [
            (number, int(name)) if isinstance(number, str) else (name, int(number))
            for name, number in content["classes"].items()
        ]
        return ClassValues({name: value for name, value in pairs if value not in void}, ignored=void)
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError, RecursionError, OSError) as err:
        raise ValueError(f'Expected {{"classes": {{"3": "road"}}, "void": 255}} in {path}, but: {err}') from err


class SemanticMaps:
    """Images of one folder and maps of class numbers of another, paired by the name without its suffix.

    All pixels of a class are one object of their image. Construction reads all label maps once; images are read when
    needed.

    Args:
        images: Folder of images, of any depth and number of channels.
        labels: Folder of label maps (PNG, TIFF, BMP or `.npy`) of the images' sizes.
        values: What the numbers in the label maps mean.
        stems: The files to take, by name without suffix; None: all.
        **look: How pixels are shown; see `PixelRule`.

    Attributes:
        class_names: The names of all classes, in their order.

    Raises:
        ValueError: A missing folder, a file without partner or with several, a label map that cannot be decoded
            or is not of its image's size, or no class in any of them.
    """

    def __init__(
        self,
        images: str | Path,
        labels: str | Path,
        *,
        values: ClassValues,
        stems: frozenset[str] | None = None,
        **look: Unpack[Look],
    ) -> None:
        self.values = values
        self.pixels = PixelRule(**look)
        self.class_names = values.names
        self.pairs = [pair for pair in pair_by_stem(images, labels) if stems is None or pair[0].stem in stems]
        found = {name for pair in self.pairs for name in values.masks_of(read_checked(*pair))}
        if not found:
            raise ValueError(
                f"Expected a pixel of one of the classes {dict(values.classes)} in the {len(self.pairs)} label maps of "
                f"{labels}, but there is none."
            )
        if absent := [name for name in self.class_names if name not in found]:
            _logger.warning("No label map in %s has a pixel of %s.", labels, ", ".join(absent))

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(image for image, _ in self.pairs)

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those, and those of the labels."""
        return tuple(path for pair in self.pairs for path in pair)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.pairs[index][0], self.pixels)
        return replace(self.without_image(index), image=torch.from_numpy(image))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that the file need not be decoded."""
        image_path, label_path = self.pairs[index]
        labels = read_checked(image_path, label_path)
        masks = self.values.masks_of(labels)
        ignored = self.values.ignored_in(labels)
        stacked = np.stack(list(masks.values())) if masks else np.zeros((0, *labels.shape), dtype=bool)
        return Sample(
            image=blank_image(labels.shape[0], labels.shape[1]),
            masks=torch.from_numpy(stacked),
            class_names=tuple(masks),
            name=image_path.stem,
            ignored=None if ignored is None else torch.from_numpy(ignored),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def semantic_maps_splits(
    root: str | Path,
    *,
    split: GroupSplit,
    group: str | None = None,
    images: str = "images",
    labels: str = "labels",
    classes: Mapping[str, Values] | None = None,
    ignored: Values | None = None,
    **look: Unpack[Look],
) -> DataSplits:
    """`SemanticMaps` in parts, as the folders say or by a rule; see `folder_splits`.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        split: How files are divided where no folders do.
        group: Which files stay together; see `divided_files`. Folders that are the parts must not share a group.
        images: Name of the folders of images.
        labels: Name of the folders of label maps.
        classes: Name -> the number of the class, or several; None: as `ROOT/classes.json` says.
        ignored: Numbers of pixels whose class nobody knows; None: as `classes.json` says, or none.
        **look: How pixels are shown; see `PixelRule`.

    Raises:
        ValueError: The classes are not understood, neither layout is found, or what `SemanticMaps` raises.
    """
    if classes is None:
        values = read_class_values(expanded(root) / "classes.json")
        values = values if ignored is None else ClassValues(values.classes, ignored=ignored)
    else:
        values = ClassValues(classes, ignored=() if ignored is None else ignored)

    def read(folder: Path, stems: frozenset[str] | None) -> SemanticMaps:
        return SemanticMaps(folder / images, folder / labels, values=values, stems=stems, **look)

    return folder_splits(root, read, split=split, group=group, images=images, labels=labels)


def _as_tuple(values: Values) -> tuple[int, ...]:
    return tuple(values) if isinstance(values, Sequence) else (values,)
