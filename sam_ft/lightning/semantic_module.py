"""The training of semantic segmentation without prompts as a Lightning module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics import Metric

from sam_ft.any_checkpoints import AnyModel
from sam_ft.class_pictures import ClassCase, class_figure
from sam_ft.data.class_maps import IGNORED, class_map, class_maps
from sam_ft.data.collation import PreparedSample, collate
from sam_ft.evaluation.pixels.semantic import SemanticMeasurement, measure_classes
from sam_ft.lightning.compiling import ClassifyPixels, compiled_classifier
from sam_ft.lightning.memory.settings import MemorySettings
from sam_ft.lightning.module import TaughtModule, inside_image
from sam_ft.lightning.optim import OptimiserSettings
from sam_ft.losses.semantic import SemanticLoss, class_shares
from sam_ft.types import Batch, Sample

_SET = "set/"
"""Begins the keys of a module's sets, since a set may have the name of a method of a `ModuleDict`."""


class SemanticModule(TaughtModule):
    """An image in, a class for each pixel out; validation counts pixels at the sources' resolution.

    Args:
        model: what is trained, a SAM with a semantic head or a U-Net; parameters that do not require a gradient stay as
            they are.
        loss: compares the classes of the pixels with the truth.
        optimiser: optimiser and schedule.
        memory: what is computed again instead of being kept.
        seed: of everything drawn.
        config: the run's config, kept in every checkpoint.
    """

    def __init__(
        self,
        model: AnyModel,
        *,
        loss: SemanticLoss,
        optimiser: OptimiserSettings,
        memory: MemorySettings | None = None,
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, optimiser=optimiser, memory=memory, seed=seed, config=config)
        self._classify_pixels: ClassifyPixels = model.classify_pixels
        self.loss = loss
        self.val_pixels = _Confusion(len(model.pixel_class_names))
        self.val_sets = torch.nn.ModuleDict()

    def measure_sets(self, names: Sequence[str]) -> None:
        """Let validation measure the sets of a mixture each for itself too, as `val/miou/NAME`."""
        num_classes = len(self.model.pixel_class_names)
        self.val_sets.update({f"{_SET}{name}": _Confusion(num_classes) for name in names})

    def compile_steps(self) -> None:
        """As of every training; and of the decoder the call that classifies."""
        super().compile_steps()
        self._classify_pixels = compiled_classifier(self.model)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean over the images of the loss of a batch; padding and ignored pixels have no part in it."""
        with self._own_randomness(batch_idx):
            embedding = batch.embedded(self._encode_image, device=self.device)
        logits = self._classify_pixels(embedding)  # (B, K, h, w)
        labels = class_maps(batch, self.model.pixel_class_names)  # (B, S, S)
        labels = labels.masked_fill(~inside_image(batch)[:, 0], IGNORED)
        shares = class_shares(labels, num_classes=logits.shape[1], size=logits.shape[-1])
        parts = self.loss(logits, shares, num_images=len(batch.samples))
        named = {"loss": parts.total, "cross_entropy": parts.cross_entropy, "dice": parts.dice}
        logged = {f"train/{name}": value.detach() for name, value in named.items()}
        self.log_dict(logged, batch_size=len(batch.samples))
        return parts.total

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the pixels of the batch by their true and predicted class."""
        measured = measure_classes(self.model, [batch])
        self.val_pixels.update(measured.confusion, measured.num_images)
        for name, confusion in measured.sets.items():
            if (key := f"{_SET}{name}") in self.val_sets:
                cast(_Confusion, self.val_sets[key]).update(confusion)

    def on_validation_epoch_end(self) -> None:
        """Log the mean IoU, the pixel accuracy and the IoU of each class that occurs, of all ranks together."""
        confusion, num_images = self.val_pixels.compute()
        sets = {
            key.removeprefix(_SET): cast(_Confusion, each).compute()[0].cpu() for key, each in self.val_sets.items()
        }
        measured = SemanticMeasurement(self.model.pixel_class_names, confusion.cpu(), int(num_images), sets)
        for metric in (self.val_pixels, *self.val_sets.values()):
            cast(_Confusion, metric).reset()
        for name in ("miou", "pixel_accuracy"):
            self.log(f"val/{name}", measured.summary[name], prog_bar=True)
        for name, each in measured.by_class.items():
            if each["iou"] is not None:
                self.log(f"val/iou/{name}", each["iou"])
        for set_name, summary in measured.by_set.items():
            for name, value in summary.items():
                self.log(f"val/{name}/{set_name}", value)


def predicted_classes(model: AnyModel, prepared: Sequence[PreparedSample]) -> Figure:
    """The truth and the prediction of some samples, a colour for each class."""
    predictions: dict[str, Tensor] = {}

    def keep(sample: Sample, predicted: Tensor) -> None:
        predictions[sample.name] = predicted

    for item in prepared:
        measure_classes(model, [collate([item])], on_prediction=keep)
    names, samples = model.pixel_class_names, [item.sample for item in prepared]
    cases = [ClassCase(each.name, each.image, class_map(each, names), predictions[each.name]) for each in samples]
    return class_figure(cases, names)


class _Confusion(Metric):
    """A confusion matrix that adds up over batches and ranks."""

    counts: Tensor
    num_images: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("num_images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, confusion: Tensor, num_images: int = 0) -> None:
        """Add the pixels of some images."""
        self.counts += confusion.to(self.counts.device)
        self.num_images += num_images

    def compute(self) -> tuple[Tensor, Tensor]:
        """The counts and the number of images."""
        return self.counts, self.num_images
