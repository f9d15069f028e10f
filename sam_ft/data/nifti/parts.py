"""Slices of paired NIfTI files in training, validation and test parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sam_ft.data.folds import FoldSplit
from sam_ft.data.label_names import label_names_in
from sam_ft.data.nifti.cases import open_cases
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.pairing import folder_of
from sam_ft.data.volumes.parts import volume_splits
from sam_ft.data.volumes.view import View


def nifti_splits(
    images: str | Sequence[str],
    labels: str,
    *,
    split: GroupSplit | FoldSplit | SlabSplit,
    group: str | None = None,
    axis: str = "axial",
    objects: ObjectRule | None = None,
    volume_index: int | None = None,
    **view: Unpack[View],
) -> DataSplits:
    """The slices of `NiftiSlices` in parts: by whole groups of volumes, or along the axis of each (`SlabSplit`).

    Args:
        images: Glob pattern of the images, or three.
        labels: Glob pattern of the labels. A file `labels.json` in the folder that the pattern starts from (its part
            before the first wildcard), such as `{"liver": 1, "ignore": 255}`, names the classes if `objects` does not.
        split: Which volumes or slices belong to which part.
        group: Which volumes stay together (one patient's sessions): those for which the first parentheses of this
            regular expression match the same text in the image's path, such as `"(sub-[0-9]+)"`. None: those for
            which the first wildcard matched the same text.
        axis: As of `NiftiSlices`, and so are the next two.
        objects: What counts as an object.
        volume_index: Which volume of 4-D images.
        **view: How volumes are cut and shown.

    Raises:
        ValueError: As `NiftiSlices` and `volume_splits`.
    """
    names = label_names_in(folder_of(labels))
    volumes = open_cases(images, labels, plane=axis, volume_index=volume_index)
    return volume_splits(volumes, split=split, group=group, objects=objects, names=names, **view)
