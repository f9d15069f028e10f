"""Slices of DICOM series in training, validation and test parts that share no patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from sam_ft.data.dicom.cases import SeriesChoice, open_dicom_cases
from sam_ft.data.folds import FoldSplit
from sam_ft.data.label_names import label_names_in
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.pairing import folder_of
from sam_ft.data.volumes.parts import volume_splits
from sam_ft.data.volumes.slices import VolumeSlices
from sam_ft.data.volumes.view import View, volume_slices


def dicom_slices(
    images: str | Sequence[str],
    labels: str,
    *,
    series: str | None = None,
    axis: str = "axial",
    objects: ObjectRule | None = None,
    **view: Unpack[View],
) -> VolumeSlices:
    """The slices of DICOM series that hold an object; everything but the files is as in `NiftiSlices`.

    Args:
        images: Glob pattern of folders, or three; see `open_dicom_cases`.
        labels: Glob pattern of NIfTI volumes or of SEG objects.
        series: Which series of a folder: a regular expression that is searched for in their descriptions.
        axis: "axial", "coronal" or "sagittal".
        objects: What counts as an object; None: every label value, from 10 pixels on.
        **view: How they are cut and shown; window "file": WindowCenter and WindowWidth of the middle slice.

    Raises:
        ValueError: What `open_dicom_cases` or `volume_slices` raises; pydicom is not installed.
    """
    volumes = open_dicom_cases(images, labels, plane=axis, choice=SeriesChoice(series))
    return volume_slices(volumes, objects=objects, **view)


def dicom_splits(
    images: str | Sequence[str],
    labels: str,
    *,
    split: GroupSplit | FoldSplit | SlabSplit,
    group: str | None = None,
    series: str | None = None,
    axis: str = "axial",
    objects: ObjectRule | None = None,
    **view: Unpack[View],
) -> DataSplits:
    """`dicom_slices` in parts.

    Args:
        images: Glob pattern of folders, or three.
        labels: Glob pattern of NIfTI volumes or of SEG objects. A file `labels.json` names the classes, as in
            `nifti_splits`.
        split: Which volumes or slices belong to which part.
        group: Which volumes stay together: a regular expression on the folder's path; None: those of one PatientID.
        series: As of `dicom_slices`, and so are the next two.
        axis: Along which volumes are cut.
        objects: What counts as an object.
        **view: How volumes are cut and shown.

    Raises:
        ValueError: What `open_dicom_cases` and `volume_splits` raise; pydicom is not installed.
    """
    names = label_names_in(folder_of(labels))
    volumes = open_dicom_cases(images, labels, plane=axis, choice=SeriesChoice(series))
    return volume_splits(volumes, split=split, group=group, objects=objects, names=names, **view)
