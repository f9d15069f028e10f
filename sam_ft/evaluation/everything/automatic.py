"""The automatic protocol: what a model finds in images without being told where the objects are.

The model proposes masks at a grid of points (`sam_ft.inference.proposals`); `everything.automatic_image` says which
of them are measured. All is counted at the source's resolution and without regard to classes:

- AR@k, of the k best proposals for each image, before the thresholds: the share of the objects that are found, as the
  mean over IoU 0.50:0.05:0.95. By COCO's sizes too: small up to 32 x 32 pixels, large from 96 x 96.
- mSA, of the masks that are kept: TP / (TP + FP + FN), the mean over the same thresholds and over images.
- AP, AP50, AP75, of the same masks by predicted IoU, COCO's rules: at most 100 for each image.
- PQ = SQ * RQ, of the same masks where each pixel belongs to one alone, over all images.

Annotations are taken to be complete: a mask of something that nobody marked counts as wrong (except for AR, which asks
only for what is found). Regions that a data set says to ignore count for nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sam_ft.evaluation.everything.automatic_image import ComparedImage, GeneratorSettings, ObjectRecord, compare_image
from sam_ft.evaluation.everything.intervals import headline_intervals, recall_intervals
from sam_ft.files import atomic_write, write_json
from sam_ft.inference.evaluation_mode import evaluation_mode
from sam_ft.inference.proposals import Filtered, propose
from sam_ft.metrics.average_precision import AP50, AP75, SIZES, average_recall, precision_curves
from sam_ft.metrics.bootstrap import Interval, ends_of
from sam_ft.metrics.panoptic import PanopticCounts
from sam_ft.transforms import Frame
from sam_ft.types import Batch, ImageEmbedding, PromptableModel

RECALLS_AT = (10, 100, 1000)
"""The numbers of proposals of the headline recalls."""

_CURVE_AT = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class AutomaticMeasurement:
    """What a model found in the images of a data set.

    Attributes:
        images: in the order of the data set.
        settings: of the mask generator.
        segments: image -> its kept masks as segments (H, W), of the images to show alone.
    """

    images: Sequence[ComparedImage]
    settings: GeneratorSettings
    segments: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def summary(self) -> dict[str, float]:
        """The headline numbers.

        Raises:
            ValueError: there is no object in any image.
        """
        curves = precision_curves([each.kept for each in self.images])
        if curves is None:
            raise ValueError(f"Expected at least one object to find, but got none in {len(self.images)} images.")
        recalls = {f"ar@{count}": self.by_size["all"][f"ar@{count}"] for count in RECALLS_AT}
        recalls |= {f"ar@{RECALLS_AT[-1]}_{size}": self.by_size[size][f"ar@{RECALLS_AT[-1]}"] for size in SIZES}
        panoptic = reduce(add, (each.panoptic for each in self.images), PanopticCounts())
        return {
            **{name: value for name, value in recalls.items() if value is not None},
            "msa": sum(each.accuracy for each in self.images) / len(self.images),
            "ap": float(curves.mean()),
            "ap50": float(curves[AP50].mean()),
            "ap75": float(curves[AP75].mean()),
            "pq": panoptic.panoptic_quality,
            "sq": panoptic.segmentation_quality,
            "rq": panoptic.recognition_quality,
            "num_images": len(self.images),
            "num_objects": sum(len(each.objects) for each in self.images),
            "num_masks": self.filtered.selected,
            "num_proposals": sum(len(each.proposals["all"].scores) for each in self.images),
        }

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals of the headline numbers; images are drawn, and of a few there are none."""
        last = f"ar@{RECALLS_AT[-1]}"
        recalls = dict(self.size_intervals["all"])
        recalls |= {f"{last}_{size}": own[last] for size in SIZES if last in (own := self.size_intervals[size])}
        return recalls | headline_intervals(self.images, self.summary)

    @cached_property
    def size_intervals(self) -> dict[str, dict[str, Interval]]:
        """Those of AR@k for all, small, medium and large objects."""
        found = {}
        for size, own in self.by_size.items():
            recalls = {count: recall for count in RECALLS_AT if (recall := own[f"ar@{count}"]) is not None}
            intervals = recall_intervals([each.proposals[size] for each in self.images], recalls)
            found[size] = {f"ar@{count}": interval for count, interval in intervals.items()}
        return found

    @cached_property
    def by_size(self) -> dict[str, dict[str, float | None]]:
        """Of all, small, medium and large objects their number and AR@k, None where there are none.

        As in COCO an object at the border of two sizes is of both.
        """
        rows: dict[str, dict[str, float | None]] = {}
        for size in ("all", *SIZES):
            images = [each.proposals[size] for each in self.images]
            rows[size] = {"num_objects": sum(each.num_objects for each in images)}
            rows[size] |= {f"ar@{count}": average_recall(images, max_detections=count) for count in RECALLS_AT}
        return rows

    @property
    def recall_curves(self) -> dict[str, list[tuple[int, float]]]:
        """AR against the number of proposals for each size of which there are objects."""
        curves = {}
        for size in ("all", *SIZES):
            images = [each.proposals[size] for each in self.images]
            recalls = [(count, average_recall(images, max_detections=count)) for count in _CURVE_AT]
            curves[size] = [(count, recall) for count, recall in recalls if recall is not None]
        return {size: curve for size, curve in curves.items() if curve}

    @property
    def filtered(self) -> Filtered:
        """What each filter of the mask generator removed, over all images."""
        return reduce(add, (each.filtered for each in self.images))

    def write(self, output: str | Path) -> None:
        """Write `summary.json`, and `objects.csv` with a row for each true object."""
        sizes = {size: {**own, "intervals": ends_of(self.size_intervals[size])} for size, own in self.by_size.items()}
        more = {
            "intervals": ends_of(self.intervals),
            "sizes": sizes,
            "filters": asdict(self.filtered),
            "settings": asdict(self.settings),
        }
        write_json(Path(output) / "summary.json", {**self.summary, **more})
        with atomic_write(Path(output) / "objects.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [column.name for column in fields(ObjectRecord)])
            writer.writeheader()
            writer.writerows(asdict(record) for each in self.images for record in each.objects)


def measure_automatic(
    model: PromptableModel,
    batches: Iterable[Batch],
    *,
    settings: GeneratorSettings,
    shown: Collection[str] = (),
    on_image: Callable[[ComparedImage], object] | None = None,
    on_batch: Callable[[int], object] | None = None,
) -> AutomaticMeasurement:
    """Let a model propose masks for all images, and compare them with the objects.

    Args:
        model: any promptable model; it is in evaluation mode during the call and as it was afterwards.
        batches: images are encoded a batch at a time; each then has its proposals alone.
        settings: of the mask generator.
        shown: names of the images whose segments are kept for pictures.
        on_image: receives what is counted of each image, as soon as it is.
        on_batch: receives the number of images done with each batch, for showing progress.
    """
    images, segments = [], {}
    with evaluation_mode(model):
        for batch in batches:
            device = next(model.parameters()).device if isinstance(model, nn.Module) else batch.masks.device
            with torch.inference_mode():
                embedding = batch.embedded(model.encode_image, device=device)
            for row, sample in enumerate(batch.samples):
                frame = Frame((sample.image.shape[0], sample.image.shape[1]), model.image_size)
                proposals = propose(model, _of_image(embedding, row), frame, points_per_side=settings.points_per_side)
                compared, found = compare_image(proposals, sample, settings)
                images.append(compared)
                if on_image is not None:
                    on_image(compared)
                if sample.name in shown:
                    segments[sample.name] = found
            if on_batch is not None:
                on_batch(len(batch.samples))
    return AutomaticMeasurement(images=images, settings=settings, segments=segments)


def _of_image(embedding: ImageEmbedding, row: int) -> ImageEmbedding:
    """Of one image of a batch, B = 1."""
    features, *others = (tensor[row : row + 1] for tensor in (embedding.features, *embedding.high_resolution))
    return ImageEmbedding(features=features, high_resolution=tuple(others))
