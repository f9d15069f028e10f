"""Semantic segmentation measured: IoU of each class over all pixels of a data set, at the sources' resolution."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sam_ft.data.class_maps import class_map
from sam_ft.evaluation.pixels.intervals import ImagePixels, PixelIntervals, image_pixels, pixel_intervals
from sam_ft.files import atomic_write, write_json
from sam_ft.inference.evaluation_mode import evaluation_mode
from sam_ft.metrics.bootstrap import Interval, ends_of
from sam_ft.metrics.confusion import class_ious, confusion_matrix, mean_iou, pixel_accuracy
from sam_ft.transforms import Frame
from sam_ft.types import Batch, ImageEmbedding, Sample


class PixelClassifier(Protocol):
    """A model that tells the class of each pixel without prompts."""

    @property
    def pixel_class_names(self) -> tuple[str, ...]: ...

    @property
    def image_size(self) -> int: ...

    def encode_image(self, images: Tensor) -> ImageEmbedding: ...

    def classify_pixels(self, embedding: ImageEmbedding) -> Tensor:
        """(B, K, h, w) logits."""
        ...


@dataclass(frozen=True)
class ImageCounts:
    """Which classes were taken for which in one image.

    Attributes:
        image: its name.
        pairs: (P, 3) int64: true class, predicted class and how many pixels, where there is one.
        set_name: of a mixture the set that the image is from.
    """

    image: str
    pairs: Tensor
    set_name: str | None = None

    @classmethod
    def of(cls, sample: Sample, confusion: Tensor) -> ImageCounts:
        """From the counts (K, K) of a sample."""
        places = confusion.nonzero()
        counts = confusion[places[:, 0], places[:, 1]]
        return cls(sample.name, torch.cat([places, counts[:, None]], dim=1), sample.set_name)

    def confusion(self, num_classes: int) -> Tensor:
        """The counts (K, K) int64."""
        counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        counts[self.pairs[:, 0], self.pairs[:, 1]] = self.pairs[:, 2]
        return counts


@dataclass(frozen=True)
class SemanticMeasurement:
    """Which classes were taken for which, over all pixels of a data set whose class is known.

    Attributes:
        class_names: of the K classes, the background first.
        confusion: (K, K) int64 counts of pixels; rows are the truth.
        num_images: how many images were measured.
        sets: of a mixture the counts of each set; empty for any other data set.
        images: each by itself, for intervals; empty: there are none.
    """

    class_names: tuple[str, ...]
    confusion: Tensor
    num_images: int
    sets: Mapping[str, Tensor] = field(default_factory=dict)
    images: Sequence[ImagePixels] = field(default=(), repr=False)

    @classmethod
    def of(cls, class_names: tuple[str, ...], images: Iterable[ImageCounts]) -> SemanticMeasurement:
        """Images put together."""
        confusion = torch.zeros(len(class_names), len(class_names), dtype=torch.int64)
        sets: dict[str, Tensor] = {}
        several = list(images)
        pixels: list[ImagePixels] = []
        for image in several:
            own = image.confusion(len(class_names))
            confusion += own
            if image.set_name is not None:
                sets[image.set_name] = sets.get(image.set_name, 0) + own
            pixels.append(image_pixels(own, image.set_name))
        return cls(class_names=class_names, confusion=confusion, num_images=len(several), sets=sets, images=pixels)

    @property
    def summary(self) -> dict[str, float]:
        """`miou`, the mean over the classes that occur in the truth, `pixel_accuracy`, `num_images`, `num_pixels`.

        Raises:
            ValueError: no pixel has a known class.
        """
        return {
            "miou": mean_iou(self.confusion),
            "pixel_accuracy": pixel_accuracy(self.confusion),
            "num_images": self.num_images,
            "num_pixels": int(self.confusion.sum()),
        }

    @property
    def by_class(self) -> dict[str, dict[str, float | None]]:
        """Of each class its `iou`, None where it does not occur in the truth, and its share of the pixels."""
        counts = self.confusion.sum(dim=1)
        ious, shares = class_ious(self.confusion).tolist(), (counts.double() / counts.sum().clamp(min=1)).tolist()
        return {
            name: {"iou": ious[index] if counts[index] else None, "pixel_share": shares[index]}
            for index, name in enumerate(self.class_names)
        }

    @property
    def by_set(self) -> dict[str, dict[str, float]]:
        """`miou` and `pixel_accuracy` of each set that has a pixel of a known class."""
        return {
            name: {"miou": mean_iou(confusion), "pixel_accuracy": pixel_accuracy(confusion)}
            for name, confusion in self.sets.items()
            if confusion.any()
        }

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of `miou` and `pixel_accuracy`; empty for a few images."""
        return self._intervals.overall

    @cached_property
    def class_intervals(self) -> dict[str, Interval]:
        """Those of the IoU of each class that is in enough images."""
        return {self.class_names[place]: interval for place, interval in self._intervals.classes.items()}

    @cached_property
    def set_intervals(self) -> dict[str, dict[str, Interval]]:
        """Of each set those of `miou` and `pixel_accuracy`."""
        return {
            name: pixel_intervals([each for each in self.images if each.set_name == name], confusion).overall
            for name, confusion in self.sets.items()
        }

    @cached_property
    def _intervals(self) -> PixelIntervals:
        return pixel_intervals(self.images, self.confusion)

    def write(self, output: str | Path) -> None:
        """Write `summary.json`, and the counts as `confusion.csv` (rows are the truth)."""
        of_class, of_set = self.class_intervals, self.set_intervals
        classes = {
            name: {**own, "intervals": {"iou": of_class[name].ends} if name in of_class else {}}
            for name, own in self.by_class.items()
        }
        sets = {name: {**own, "intervals": ends_of(of_set[name])} for name, own in self.by_set.items()}
        summary: dict[str, Any] = {**self.summary, "intervals": ends_of(self.intervals), "classes": classes}
        summary |= {"sets": sets} if sets else {}
        write_json(Path(output) / "summary.json", summary)
        with atomic_write(Path(output) / "confusion.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["truth", *self.class_names])
            writer.writerows([name, *row] for name, row in zip(self.class_names, self.confusion.tolist(), strict=True))


@torch.inference_mode()
def measure_classes(
    model: PixelClassifier,
    batches: Iterable[Batch],
    *,
    on_batch: Callable[[int], object] | None = None,
    on_counts: Callable[[ImageCounts], object] | None = None,
    on_prediction: Callable[[Sample, Tensor], None] | None = None,
) -> SemanticMeasurement:
    """Ask a model for the class of each pixel of `batches` and count the answers.

    Args:
        model: it is in evaluation mode during the call and as it was afterwards.
        batches: each is moved to the model's device.
        on_batch: receives the number of images done with each batch, for showing progress.
        on_counts: receives the counts of each image, as soon as they are there.
        on_prediction: receives each sample and the predicted classes `(H, W)` int64 at its resolution, on the CPU.

    Raises:
        ValueError: an object is of a class that the model does not know.
    """
    names = model.pixel_class_names
    images: list[ImageCounts] = []
    with evaluation_mode(model):
        for batch in batches:
            device = next(model.parameters()).device if isinstance(model, nn.Module) else batch.masks.device
            logits = model.classify_pixels(batch.embedded(model.encode_image, device=device))  # (B, K, h, w)
            for own, sample in zip(logits, batch.samples, strict=True):
                frame = Frame((sample.image.shape[0], sample.image.shape[1]), model.image_size)
                predicted = frame.logits_to_source(own).argmax(dim=0).cpu()  # (H, W)
                confusion = confusion_matrix(predicted, class_map(sample, names), num_classes=len(names))
                images.append(ImageCounts.of(sample, confusion))
                if on_counts is not None:
                    on_counts(images[-1])
                if on_prediction is not None:
                    on_prediction(sample, predicted)
            if on_batch is not None:
                on_batch(len(batch.samples))
    return SemanticMeasurement.of(names, images)
