"""`LabelledImages`: single images with label maps of class numbers, wherever both are read from."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from sam_ft.data.empty import share_of_empty
from sam_ft.data.folders import divided
from sam_ft.data.label_names import LabelNames
from sam_ft.data.leaks import refuse_shared_groups, refuse_shared_images
from sam_ft.data.splits import DataSplits, GroupRule, SlabSplit
from sam_ft.data.volumes.objects import ObjectRule, present_values
from sam_ft.types import Sample, blank_image

_logger = logging.getLogger(__name__)


class ImageCase(Protocol):
    """One image and its label map."""

    @property
    def name(self) -> str:
        """Unique in its data set."""
        ...

    @property
    def group(self) -> str:
        """What never comes apart, such as the patient."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that the image is read from."""
        ...

    @property
    def label_path(self) -> Path:
        """Where the label map lies, for messages."""
        ...

    @property
    def pixel_mm(self) -> tuple[float, float] | None:
        """Height and width of a pixel, where they are known."""
        ...

    def read_image(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        ...

    def read_labels(self) -> np.ndarray:
        """(H, W) integers of 0 and above, checked to be of the image's size."""
        ...


class LabelledImages:
    """The images that hold an object, and if wanted some that hold none.

    Construction reads all label maps once; images are read when needed.

    Args:
        cases: In their order.
        objects: What counts as an object.
        names: What the label values mean; classes that `objects` does not name are these. None: each a class.
        suited_augmentation: The preset of `sam_ft.data.augment` for them.

    Raises:
        ValueError: What the cases raise, a value that `names` does not know, or no object in any image.
    """

    def __init__(
        self,
        cases: Sequence[ImageCase],
        *,
        objects: ObjectRule,
        names: LabelNames | None = None,
        suited_augmentation: str = "light",
    ) -> None:
        self.objects = objects if names is None else names.rule(objects)
        self.suited_augmentation = suited_augmentation
        largest = [self._largest_px(case, names) for case in cases]
        self.cases = tuple(
            case for case, area in zip(cases, largest, strict=True) if area and area >= self._smallest_px(case)
        )
        self._empty = tuple(case for case, area in zip(cases, largest, strict=True) if not area)
        if not self.cases:
            raise ValueError(
                f"Expected at least one object in {len(cases)} label maps (the first is {cases[0].label_path}), but "
                f"none remains; {self.objects}."
            )
        if len(self.cases) < len(cases):
            _logger.warning("%d of %d images hold no object.", len(cases) - len(self.cases), len(cases))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes that the rule names, in its order; None where the label values are the classes."""
        return None if self.objects.classes is None else tuple(self.objects.classes)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(path for case in self.cases for path in case.files)

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those, and those of the labels."""
        return (*self.image_files, *(case.label_path for case in self.cases))

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Sample:
        sample = self.without_image(index)
        return replace(sample, image=torch.from_numpy(self.cases[index].read_image()))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that the file need not be decoded."""
        case = self.cases[index]
        labels = case.read_labels()
        masks, class_names = self.objects.objects_of(labels, pixel_mm=case.pixel_mm or (1.0, 1.0), path=case.label_path)
        ignored = self.objects.ignored_in(labels)
        return Sample(
            image=blank_image(labels.shape[0], labels.shape[1]),
            masks=torch.from_numpy(masks),
            class_names=class_names,
            name=case.name,
            pixel_mm=case.pixel_mm,
            ignored=None if ignored is None else torch.from_numpy(ignored),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def only(self, groups: Collection[str]) -> LabelledImages:
        """The same data set with the images of some groups."""
        return self._with(case for case in self.cases if case.group in groups)

    def with_empty(self, share: float, *, seed: int = 0) -> LabelledImages:
        """The same images and a share, drawn by the seed, of those that hold no object at all, not even a small one.

        Raises:
            ValueError: A share that is not from 0 to 1.
        """
        return self._with((*self.cases, *share_of_empty(self._empty, share, seed=seed)))

    def _with(self, cases: Iterator[ImageCase] | Sequence[ImageCase]) -> LabelledImages:
        other = copy.copy(self)
        other.cases = tuple(cases)
        return other

    def _largest_px(self, case: ImageCase, names: LabelNames | None) -> int:
        """The area of the largest object; 0: none."""
        labels = case.read_labels()
        if names is not None:
            names.expect_known(present_values(labels), where=case.label_path)
        if self.objects.kind != "labels":
            return max((int(np.count_nonzero(mask)) for _, mask in self.objects.every_object(labels)), default=0)
        present, counts = np.unique(labels, return_counts=True)
        area_of = dict(zip(present.tolist(), counts.tolist(), strict=True))
        classes = self.objects.values_by_class(list(area_of)).values()
        return max((sum(area_of.get(value, 0) for value in values) for values in classes), default=0)

    def _smallest_px(self, case: ImageCase) -> float:
        if case.pixel_mm is None and self.objects.min_area_mm2:
            raise ValueError(
                f"Expected `min_area_mm2` of 0 for {case.label_path}, whose pixels are of unknown size, but got "
                f"{self.objects.min_area_mm2}."
            )
        return self.objects.smallest_px(case.pixel_mm or (1.0, 1.0))


def groups_of_images(split: GroupRule | SlabSplit) -> GroupRule:
    """The split, if it is by whole groups.

    Raises:
        ValueError: It is along the slices of volumes, which single images do not have.
    """
    if isinstance(split, SlabSplit):
        raise ValueError("Expected a split by groups for single images, but slabs are of volumes: data/split=groups.")
    return split


def image_splits(
    cases: Sequence[ImageCase],
    test: Sequence[ImageCase] = (),
    *,
    objects: ObjectRule,
    names: LabelNames | None,
    split: GroupRule,
    empty: float = 0.0,
    suited_augmentation: str = "light",
) -> DataSplits:
    """`LabelledImages` in parts.

    Args:
        cases: What the split divides.
        test: Cases that are the test part; none: what the split says.
        objects: What counts as an object.
        names: What the label values mean.
        split: Which groups belong to which part; its seed, if it has one, draws images without object too.
        empty: Share for `LabelledImages.with_empty`.
        suited_augmentation: As of `LabelledImages`.

    Raises:
        ValueError: As `LabelledImages` and the split do, or a test case of a group or with an image of the others.
    """

    def read(some: Sequence[ImageCase]) -> LabelledImages:
        dataset = LabelledImages(some, objects=objects, names=names, suited_augmentation=suited_augmentation)
        return dataset.with_empty(empty, seed=getattr(split, "seed", 0))

    dataset = read(cases)
    parts = divided([case.group for case in dataset.cases], dataset.only, split=split)
    if not test:
        return parts
    held_out = read(test)
    refuse_shared_groups({"train": _groups(cases), "test": _groups(test)})
    refuse_shared_images({"train": dataset.image_files, "test": held_out.image_files})
    return replace(parts, test=held_out)


def _groups(cases: Sequence[ImageCase]) -> Iterator[tuple[str, Path]]:
    return ((case.group, case.label_path) for case in cases)
