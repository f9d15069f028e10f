"""Slices of DICOM series in training, validation and test parts that share no patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack

from sam_ft.data.dicom.cases import SeriesChoice, open_dicom_cases
from sam_ft.data.folds import FoldSplit
from sam_ft.data.nifti.channels import Window, channels_of
from sam_ft.data.nifti.objects import ObjectRule
from sam_ft.data.nifti.parts import volume_splits
from sam_ft.data.nifti.slice_cache import SliceCache
from sam_ft.data.nifti.slices import VolumeSlices
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit


class Reading(TypedDict, total=False):
    """The keywords of `dicom_slices` that a configuration sets."""

    series: str | None
    axis: str
    objects: ObjectRule | None
    window: Window | Sequence[Window | None] | None
    slices: tuple[float, float] | None
    cache: SliceCache | None


def dicom_slices(
    images: str | Sequence[str],
    labels: str,
    *,
    series: str | None = None,
    axis: str = "axial",
    objects: ObjectRule | None = None,
    window: Window | Sequence[Window | None] | None = None,
    slices: tuple[float, float] | None = None,
    cache: SliceCache | None = None,
) -> VolumeSlices:
    """The slices of DICOM series that hold an object; everything but the files is as in `NiftiSlices`.

    Args:
        images: Glob pattern of folders, or three; see `open_dicom_cases`.
        labels: Glob pattern of NIfTI volumes or of SEG objects.
        series: Which series of a folder: a regular expression that is searched for in their descriptions.
        axis: "axial", "coronal" or "sagittal".
        objects: What counts as an object; None: every label value, from 10 pixels on.
        window: As in `NiftiSlices`; "file": WindowCenter and WindowWidth of the middle slice.
        slices: Which slices of each volume; see `VolumeSlices`.
        cache: Where decoded volumes are kept and how many; None: `SliceCache()`.

    Raises:
        ValueError: What `open_dicom_cases` or `VolumeSlices` raises; pydicom is not installed.
    """
    channels = channels_of(window, num_sequences=1 if isinstance(images, str) else len(images))
    volumes = open_dicom_cases(images, labels, plane=axis, choice=SeriesChoice(series))
    return VolumeSlices(volumes, channels=channels, objects=objects, slices=slices, cache=cache)


def dicom_splits(
    images: str | Sequence[str],
    labels: str,
    *,
    split: GroupSplit | FoldSplit | SlabSplit,
    group: str | None = None,
    crop: Literal["foreground"] | None = None,
    neighbours: int | None = None,
    empty: float = 0.0,
    **reading: Unpack[Reading],
) -> DataSplits:
    """`dicom_slices` in parts; see `nifti_splits` for what is not said here.

    Args:
        images: Glob pattern of folders, or three.
        labels: Glob pattern of NIfTI volumes or of SEG objects.
        split: Which volumes or slices belong to which part.
        group: Which volumes stay together: a regular expression on the folder's path; None: those of one PatientID.
        crop: "foreground": without the empty margin of the volume.
        neighbours: Distance of the slices that are red and blue.
        empty: Share of the slices without object that are added.
        **reading: As of `dicom_slices`.

    Raises:
        ValueError: What `dicom_slices` and `volume_splits` raise.
    """
    dataset = dicom_slices(images, labels, **reading)
    return volume_splits(dataset, split=split, group=group, crop=crop, neighbours=neighbours, empty=empty)
