"""Whole volumes from prompted slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam_ft.data.collation import whole_batches
from sam_ft.data.nifti.slices import VolumeSlices
from sam_ft.data.nifti.writing import expect_nifti_name, write_label_volume
from sam_ft.evaluation.interactive import evaluate_clicks
from sam_ft.evaluation.records import MaskRecord
from sam_ft.types import PromptableModel


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
    numbers = {entry.volume for entry in slices.entries}
    if len(numbers) != 1:
        raise ValueError(f"Expected the slices of one volume, but got those of {len(numbers)}.")
    if not slices.objects.has_label_values():
        raise ValueError(f"Expected a class of one label value to write, but {slices.objects} has unions alone.")
    index_of = {slices.name_of(entry): entry.index for entry in slices.entries}
    pictures: dict[int, np.ndarray] = {}
    highest: dict[int, Tensor] = {}

    def paint(record: MaskRecord, logits: Tensor) -> None:
        value = slices.objects.label_value(record.class_name)
        if value is None:
            return
        index = index_of[record.image]
        before = highest.get(index, torch.zeros_like(logits))
        won = logits > before
        picture = pictures.setdefault(index, np.zeros(tuple(logits.shape), dtype=np.int64))
        picture[won.numpy()] = value
        highest[index] = torch.where(won, logits, before)

    batches = whole_batches(slices, image_size=model.image_size, batch_size=batch_size)
    evaluate_clicks(model, batches, clicks=(), on_prediction=paint)
    (number,) = numbers
    return write_label_volume(path, pictures, grid=slices.volumes[number].grid)
