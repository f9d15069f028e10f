"""A model measured on the volumes of one part of a data set, one volume after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sam_ft.data.volumes.grid import SliceGrid
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.evaluation.volumes.answers import VolumeAnswer, number_of
from sam_ft.evaluation.volumes.scores import VolumeScore, score_class, slice_dices


@dataclass(frozen=True)
class ShownSlice:
    """One class in one slice, for a picture."""

    title: str
    image: Tensor  # (H, W, 3) uint8
    truth: Tensor  # (H, W) bool
    predicted: Tensor  # (H, W) bool
    dice: float


@dataclass(frozen=True)
class MeasuredVolume:
    """What came out for one volume.

    Attributes:
        name: of the volume.
        scores: one for each class.
        shown: the worst, the median and the best slice by Dice, over all classes; fewer where there are fewer.
    """

    name: str
    scores: list[VolumeScore]
    shown: list[ShownSlice]


def one_by_one(slices: VolumeSlices) -> Iterator[VolumeSlices]:
    """The slices of each volume, one volume after the other."""
    for number in sorted({entry.volume for entry in slices.entries}):
        yield slices.only(lambda entry, number=number: entry.volume == number)  # type: ignore[misc]


def measure_volume(slices: VolumeSlices, answer: VolumeAnswer, *, tolerance_mm: float) -> MeasuredVolume:
    """Compare an answer with the truth, class by class.

    Args:
        slices: of one volume, those that the model was asked for.
        answer: the model's.
        tolerance_mm: of the surface Dice.
    """
    volume = slices.volumes[number_of(slices)]
    truth = truth_of(slices)
    holds_object = torch.tensor([bool(truth.masks.get(index)) for index in range(volume.grid.num_slices)])
    scores, candidates = [], []
    for name in slices.class_values:
        predicted = _stacked(_predicted(slices, answer, truth, class_name=name), volume.grid)
        true = _stacked(truth.of_class(name), volume.grid)
        scores.append(
            score_class(
                predicted,
                true,
                spacing_mm=volume.grid.planes_mm,
                tolerance_mm=tolerance_mm,
                volume=volume.name,
                class_name=name,
                holds_object=holds_object,
            )
        )
        candidates += [(dice, index, name) for index, dice in enumerate(slice_dices(predicted, true)) if dice >= 0]
    shown = [_shown(slices, answer, truth, chosen=chosen) for chosen in _worst_median_best(sorted(candidates))]
    return MeasuredVolume(name=volume.name, scores=scores, shown=shown)


@dataclass(frozen=True)
class VolumeTruth:
    """What the data set says of the slices of one volume, as their pictures show it.

    Attributes:
        masks: slice -> class -> `(H, W)` bool, of the classes that the slice holds.
        ignored: slice -> `(H, W)` bool, pixels whose class nobody knows; of slices that have any.
        too_small: slice -> class -> `(H, W)` bool, its objects that are too small to count; for other classes they are
            like any other pixel.
    """

    masks: dict[int, dict[str, np.ndarray]]
    ignored: dict[int, np.ndarray]
    too_small: dict[int, Mapping[str, np.ndarray]]

    def of_class(self, class_name: str) -> dict[int, np.ndarray]:
        """Slice -> the pixels of a class, of the slices that hold it."""
        return {index: masks[class_name] for index, masks in self.masks.items() if class_name in masks}

    def counted(self, mask: np.ndarray, index: int, *, class_name: str) -> np.ndarray:
        """The pixels of an answer for a class in a slice, `(H, W)` bool, but for those that belong to neither side."""
        for neither in (self.ignored.get(index), self.too_small[index].get(class_name)):
            mask = mask if neither is None else mask & ~neither
        return mask


def truth_of(slices: VolumeSlices) -> VolumeTruth:
    """The objects of each class together, in each slice of one volume; no image is read."""
    masks: dict[int, dict[str, np.ndarray]] = {}
    ignored = {}
    too_small = {}
    for place, entry in enumerate(slices.entries):
        sample = slices.without_image(place)
        own = masks.setdefault(entry.index, {})
        for mask, name in zip(sample.masks.numpy(), sample.class_names, strict=True):
            own[name] = own[name] | mask if name in own else mask
        if (unknown := sample.unknown) is not None:
            ignored[entry.index] = unknown.numpy()
        too_small[entry.index] = slices.too_small(entry)
    return VolumeTruth(masks=masks, ignored=ignored, too_small=too_small)


def _predicted(
    slices: VolumeSlices, answer: VolumeAnswer, truth: VolumeTruth, *, class_name: str
) -> dict[int, np.ndarray]:
    """Slice -> the pixels of a class in the answer, `(H, W)` bool, without those that belong to neither side."""
    value = slices.objects.label_value(class_name)
    masks = {index: answer.mask(class_name, index, value=value) for index in truth.masks}
    return {
        index: truth.counted(mask, index, class_name=class_name) for index, mask in masks.items() if mask is not None
    }


def _stacked(pictures: Mapping[int, np.ndarray], grid: SliceGrid) -> Tensor:
    """Masks with square pixels on the volume's own grid: slice -> `(H, W)` bool, to (slices, rows, columns) bool."""
    planes = np.zeros((grid.num_slices, *grid.plane_size), dtype=bool)
    for index, picture in pictures.items():
        planes[index] = grid.labels_to_plane(picture)
    return torch.from_numpy(planes)


def _worst_median_best(ordered: list[tuple[float, int, str]]) -> list[tuple[float, int, str]]:
    places = sorted({0, len(ordered) // 2, len(ordered) - 1}) if ordered else []
    return [ordered[place] for place in places]


def _shown(
    slices: VolumeSlices, answer: VolumeAnswer, truth: VolumeTruth, *, chosen: tuple[float, int, str]
) -> ShownSlice:
    dice, index, name = chosen
    image = slices.picture(next(entry for entry in slices.entries if entry.index == index))
    empty = np.zeros(tuple(image.shape[:2]), dtype=bool)
    predicted = _predicted(slices, answer, truth, class_name=name).get(index, empty)
    true = truth.of_class(name).get(index, empty)
    return ShownSlice(f"slice {index}, {name}", image, torch.from_numpy(true), torch.from_numpy(predicted), dice)
