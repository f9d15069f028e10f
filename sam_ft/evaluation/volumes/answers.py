"""Whole volumes from slices: from prompted objects, or from the class of each pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.data.nifti.writing import expect_nifti_name, write_label_volume
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.evaluation.asking.asked_objects import Answer
from sam_ft.evaluation.asking.interactive import evaluate_clicks
from sam_ft.evaluation.pixels.semantic import PixelClassifier, measure_classes
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.types import PromptableModel, Sample

BOX = 0
"""In the place of a number of clicks: the clean box."""


@dataclass(frozen=True)
class VolumeAnswer:
    """What a model makes of one volume, slice by slice as its pictures show them; slices not asked for are missing.

    Attributes:
        labels: slice -> `(H, W)` label values; a pixel has one.
        unions: class that is a union of others, and has no value of its own -> slice -> `(H, W)` bool.
    """

    labels: dict[int, np.ndarray] = field(default_factory=dict)
    unions: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)

    def mask(self, class_name: str, index: int, *, value: int | None) -> np.ndarray | None:
        """The pixels of a class in a slice, `(H, W)` bool; None where nothing was answered.

        Args:
            class_name: the class.
            index: the slice.
            value: its label value; None for a union.
        """
        if value is None:
            return self.unions.get(class_name, {}).get(index)
        return self.labels[index] == value if index in self.labels else None


def segment_with_boxes(model: PromptableModel, slices: VolumeSlices, path: str | Path, *, batch_size: int = 4) -> Path:
    """Predict every object of a volume's slices from the box around it, and write them on the volume's own grid.

    A voxel that several objects claim goes to the one whose logit is highest. Classes that are unions of others
    (such as brain: grey and white matter) are not written, since each voxel has one label.

    Args:
        model: any promptable model.
        slices: of one volume.
        path: where to write, ending in `.nii` or `.nii.gz`.
        batch_size: images encoded at once.

    Returns:
        The path.

    Raises:
        ValueError: if the slices belong to several volumes, every class is a union, or the path ends otherwise.
    """
    path = expect_nifti_name(path)
    number = number_of(slices)
    if not slices.objects.has_label_values():
        raise ValueError(f"Expected a class of one label value to write, but {slices.objects} has unions alone.")
    answer = prompted_volume(model, slices, batch_size=batch_size)
    return write_label_volume(path, answer.labels, grid=slices.volumes[number].grid)


def number_of(slices: VolumeSlices) -> int:
    """The number of the one volume that some slices are of.

    Raises:
        ValueError: they are of several.
    """
    numbers = {entry.volume for entry in slices.entries}
    if len(numbers) != 1:
        raise ValueError(f"Expected the slices of one volume, but got those of {len(numbers)}.")
    return numbers.pop()


def prompted_volume(
    model: PromptableModel,
    slices: VolumeSlices,
    *,
    num_clicks: int = BOX,
    batch_size: int = 4,
    num_workers: int = 0,
    on_images: Callable[[int], object] | None = None,
) -> VolumeAnswer:
    """Ask for every object of a volume's slices, each slice by itself.

    A pixel that several objects claim goes to the one whose logit is highest. Objects of a class that is a union of
    others compete with nobody.

    Args:
        model: any promptable model.
        slices: of one volume.
        num_clicks: the clicks on each object, simulated from the truth; `BOX`: the box around it.
        batch_size: images encoded at once.
        num_workers: processes that read and prepare.
        on_images: receives the number of images done, for showing progress.
    """
    index_of = {slices.name_of(entry): entry.index for entry in slices.entries}
    answer = VolumeAnswer()
    highest: dict[int, Tensor] = {}

    def paint(record: MaskRecord, answered: Answer) -> None:
        logits = answered()
        index, value = index_of[record.image], slices.objects.label_value(record.class_name)
        if value is None:
            pictures = answer.unions.setdefault(record.class_name, {})
            pictures[index] = pictures.get(index, False) | (logits > 0).numpy()
            return
        before = highest.get(index, torch.zeros_like(logits))
        won = logits > before
        picture = answer.labels.setdefault(index, np.zeros(tuple(logits.shape), dtype=np.int64))
        picture[won.numpy()] = value
        highest[index] = torch.where(won, logits, before)

    def count(records: Sequence[MaskRecord]) -> None:
        if on_images is not None:
            on_images(len({record.image for record in records}))

    evaluate_clicks(
        model,
        whole_batches(slices, image_size=model.image_size, batch_size=batch_size, num_workers=num_workers),
        clicks=(num_clicks,) if num_clicks else (),
        with_box=not num_clicks,
        on_batch=count,
        on_prediction=paint,
    )
    return answer


def classified_volume(
    model: PixelClassifier,
    slices: VolumeSlices,
    *,
    batch_size: int = 4,
    num_workers: int = 0,
    on_images: Callable[[int], object] | None = None,
) -> VolumeAnswer:
    """Let a model tell the class of each pixel of a volume's slices, without prompts.

    A class that is a union of others has the pixels of all classes whose label values are among its own.

    Args:
        model: what tells the classes.
        slices: of one volume.
        batch_size: images encoded at once.
        num_workers: processes that read and prepare.
        on_images: receives the number of images done, for showing progress.

    Raises:
        ValueError: an object is of a class that the model does not know.
    """
    index_of = {slices.name_of(entry): entry.index for entry in slices.entries}
    values, names = slices.class_values, model.pixel_class_names
    label_of = np.array([slices.objects.label_value(name) or 0 if name in values else 0 for name in names])
    unions = [name for name in values if slices.objects.label_value(name) is None]
    answer = VolumeAnswer(unions={name: {} for name in unions})

    def paint(sample: Sample, predicted: Tensor) -> None:
        index = index_of[sample.name]
        answer.labels[index] = label_of[predicted.numpy()]
        for union in unions:
            parts = [k for k, name in enumerate(names) if name in values and set(values[name]) <= set(values[union])]
            answer.unions[union][index] = np.isin(predicted.numpy(), parts)

    batches = whole_batches(slices, image_size=model.image_size, batch_size=batch_size, num_workers=num_workers)
    measure_classes(model, batches, on_batch=on_images, on_prediction=paint)
    return answer
