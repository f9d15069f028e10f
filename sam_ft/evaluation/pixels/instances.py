"""Objects from interiors and boundaries that a model of pixels has found, and how well they match the true ones."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from sam_ft.data.boundaries import BOUNDARY, INTERIOR, BoundarySamples
from sam_ft.data.collation import whole_batches
from sam_ft.data.measurable import expect_measurable, expect_pixels
from sam_ft.evaluation.pixels.semantic import PixelClassifier, measure_classes
from sam_ft.files import atomic_write, write_json
from sam_ft.metrics.bootstrap import Interval, ends_of, interval_or_none
from sam_ft.metrics.detection import detection_accuracy, greedy_pairs, num_counted, overlapping_pairs
from sam_ft.types import Sample


@dataclass(frozen=True)
class ObjectRecord:
    """One true object and the found one that covers it best."""

    image: str
    object_index: int
    class_name: str
    area_px: int
    best_iou: float  # 0 where nothing was found


@dataclass(frozen=True)
class ImageRecord:
    """How well the objects of one image were found."""

    image: str
    num_objects: int
    num_found: int
    msa: float  # mean over the IoU thresholds of TP / (TP + FP + FN)


@dataclass(frozen=True)
class MatchedImage:
    """What came out for one image and for each of its objects."""

    image: ImageRecord
    objects: tuple[ObjectRecord, ...]


@dataclass(frozen=True)
class InstanceMeasurement:
    """What came out for each object and each image."""

    objects: Sequence[ObjectRecord]
    images: Sequence[ImageRecord]

    @classmethod
    def of(cls, matched: Iterable[MatchedImage]) -> InstanceMeasurement:
        """Images put together."""
        several = list(matched)
        return cls([each for own in several for each in own.objects], [own.image for own in several])

    @property
    def summary(self) -> dict[str, float]:
        """`best_iou`, the mean over objects; `msa`, the mean over images; and the numbers of both.

        Raises:
            ValueError: there is no object.
        """
        if not self.objects:
            raise ValueError("Expected at least one object to measure, but got none.")
        return {
            "best_iou": sum(each.best_iou for each in self.objects) / len(self.objects),
            "msa": sum(each.msa for each in self.images) / len(self.images),
            "num_objects": len(self.objects),
            "num_found": sum(each.num_found for each in self.images),
            "num_images": len(self.images),
        }

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals of `best_iou` and `msa`; images are drawn, and of a few there are none."""
        values = {
            "best_iou": [(each.best_iou, each.image) for each in self.objects],
            "msa": [(each.msa, each.image) for each in self.images],
        }
        found = {
            name: interval_or_none(
                torch.tensor([value for value, _ in pairs], dtype=torch.float64), [image for _, image in pairs]
            )
            for name, pairs in values.items()
        }
        return {name: interval for name, interval in found.items() if interval is not None}

    def write(self, output: str | Path) -> None:
        """Write `summary.json`, and `objects.csv` with one row per true object."""
        write_json(Path(output) / "summary.json", {**self.summary, "intervals": ends_of(self.intervals)})
        with atomic_write(Path(output) / "objects.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(ObjectRecord)])
            writer.writeheader()
            writer.writerows(asdict(each) for each in self.objects)


def measure_instances(
    model: PixelClassifier,
    samples: BoundarySamples,
    *,
    batch_size: int = 4,
    num_workers: int = 0,
    on_images: Callable[[int], object] | None = None,
    on_match: Callable[[MatchedImage], object] | None = None,
    on_labels: Callable[[Sample, np.ndarray], None] | None = None,
) -> InstanceMeasurement:
    """Let a model find the objects of every image, and match them with the true ones.

    Pixels that nobody knows are taken out of every found object before its IoU. One of which they are more than half is
    not wrong if it matches nothing.

    Args:
        model: what tells interior, boundary and background.
        samples: the images, with their objects behind.
        batch_size: images encoded at once.
        num_workers: processes that read and prepare.
        on_images: receives the number of images done, for showing progress.
        on_match: receives what came out for each image, as soon as it is there.
        on_labels: receives each image with its true objects, and the found ones as `labels_of_instances` gives them.

    Raises:
        ValueError: the model knows other classes, or what `whole_batches` raises, here of the objects.
    """
    names = model.pixel_class_names
    if set(names[1:]) != {INTERIOR, BOUNDARY}:
        raise ValueError(
            f"Expected a model of the classes {INTERIOR} and {BOUNDARY}, as data=boundaries teaches them, but got "
            f"{', '.join(names[1:]) or 'one that is prompted'}."
        )
    expect_measurable(samples.objects)
    places = (names.index(INTERIOR), names.index(BOUNDARY))
    images: list[MatchedImage] = []

    def match(sample: Sample, predicted: Tensor) -> None:
        true = samples.objects[len(images)]  # they come in order
        expect_pixels(true)
        labels = labels_of_instances(predicted.numpy(), classes=places, boundary_px=samples.boundary_px)
        ious = label_ious(labels, true.masks.numpy(), unknown=true.unknown)  # (K, N)
        matched = greedy_pairs(overlapping_pairs(torch.from_numpy(ious)))
        num_found = num_counted(matched, excused=torch.from_numpy(excused_labels(labels, true.unknown)))
        num_objects = len(true.masks)
        msa = detection_accuracy(matched, num_masks=num_found, num_objects=num_objects)
        objects = tuple(
            ObjectRecord(true.name, index, name, int(mask.sum()), float(ious[:, index].max(initial=0.0)))
            for index, (name, mask) in enumerate(zip(true.class_names, true.masks, strict=True))
        )
        images.append(MatchedImage(ImageRecord(true.name, num_objects, num_found, msa), objects))
        if on_match is not None:
            on_match(images[-1])
        if on_labels is not None:
            on_labels(true, labels)

    batches = whole_batches(samples, image_size=model.image_size, batch_size=batch_size, num_workers=num_workers)
    measure_classes(model, batches, on_batch=on_images, on_prediction=match)
    return InstanceMeasurement.of(images)


def labels_of_instances(predicted: np.ndarray, *, classes: tuple[int, int], boundary_px: int) -> np.ndarray:
    """Each connected piece of interior is an object, and so is the boundary nearest to it.

    Pieces that touch at a corner are apart. Boundary further away than a corner of an object's boundary can be, twice
    its width, belongs to nothing.

    Args:
        predicted: `(H, W)` int64 classes.
        classes: which of them are interior and boundary.
        boundary_px: width of the boundary that was taught.

    Returns:
        `(H, W)` int32: 1 to K on the objects, 0 elsewhere.
    """
    interior, boundary = (predicted == each for each in classes)
    regions, num_regions = ndimage.label(interior)
    if not num_regions:
        return regions.astype(np.int32)
    distances, nearest = ndimage.distance_transform_edt(~interior, return_indices=True)
    grown = regions[tuple(nearest)]
    return np.where(interior | (boundary & (distances <= 2 * boundary_px)), grown, 0).astype(np.int32)


def excused_labels(labels: np.ndarray, unknown: Tensor | None) -> np.ndarray:
    """Of which labels, `(H, W)` of 0 to K, more than half is unknown, `(H, W)` bool: `(K,)` bool."""
    areas, inside = _areas(labels, unknown)
    return 2 * inside > areas


def label_ious(labels: np.ndarray, masks: np.ndarray, *, unknown: Tensor | None = None) -> np.ndarray:
    """The IoU of each label with each mask.

    Args:
        labels: `(H, W)` of 0 to K.
        masks: `(N, H, W)` bool, each with a pixel.
        unknown: `(H, W)` bool, pixels outside of all masks that belong to no label; None: there are none.

    Returns:
        `(K, N)` float64.
    """
    areas, inside = _areas(labels, unknown)
    shared = [np.bincount(labels[mask], minlength=len(areas) + 1)[1:] for mask in masks]
    if not shared:
        return np.zeros((len(areas), 0))
    together = np.stack(shared, axis=1).astype(np.float64)  # (K, N)
    own = np.array([np.count_nonzero(mask) for mask in masks])
    return together / ((areas - inside)[:, None] + own[None] - together)


def _areas(labels: np.ndarray, unknown: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """How many pixels each label has, and how many of them are unknown: twice `(K,)` int64."""
    count = int(labels.max(initial=0)) + 1
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    inside = np.zeros_like(areas) if unknown is None else np.bincount(labels[unknown.numpy()], minlength=count)[1:]
    return areas, inside
