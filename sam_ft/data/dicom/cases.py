"""Which labels belong to which series: NIfTI volumes by the names of folders, SEG objects by what they refer to."""

from __future__ import annotations

import glob
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sam_ft.data.dicom.files import DicomFile, DicomSeries, dicom_file, dicom_files, series_of
from sam_ft.data.dicom.segmentations import Segmentation, SegmentationLabels
from sam_ft.data.dicom.volume import DicomVolume, identity_of
from sam_ft.data.folders import expanded
from sam_ft.data.nifti.cases import open_nifti_label
from sam_ft.data.volumes.cases import LabelledVolume, VolumeFile, cases_of_pairs, open_case
from sam_ft.data.volumes.pairing import pair_files
from sam_ft.data.volumes.sources import ImageSource, LabelSource

_logger = logging.getLogger(__name__)
_VOLUME_ENDINGS = (".nii", ".nii.gz", ".mgz", ".mgh", ".img", ".img.gz", ".hdr")


@dataclass(frozen=True)
class SeriesChoice:
    """Which of the series in a folder are meant.

    Args:
        description: A regular expression that is searched for in SeriesDescription, whatever the case of letters;
            None: all series.

    Raises:
        ValueError: The expression makes no sense.
    """

    description: str | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.description or "")
        except re.error as err:
            raise ValueError(
                f"Expected `series` to be a regular expression, but got {self.description!r}: {err}."
            ) from err

    def of(self, files: Sequence[DicomFile], *, where: str | Path) -> list[DicomSeries]:
        """The chosen series among files; at least one.

        Raises:
            ValueError: There is none, or what `series_of` raises.
        """
        found = series_of(files)
        chosen = [one for one in found if self._is_chosen(one)]
        if not chosen:
            wanted = "" if self.description is None else f" whose description has {self.description!r} in it"
            raise ValueError(f"Expected a series of DICOM images{wanted} in {where}, but got {_listed(found)}.")
        return chosen

    def only(self, folder: Path) -> DicomSeries:
        """The one chosen series of a folder.

        Raises:
            ValueError: Another number of them, or what `of` raises.
        """
        chosen = self.of(dicom_files(folder), where=folder)
        if len(chosen) > 1:
            raise ValueError(
                f"Expected one series in {folder}, but got {_listed(chosen)}: choose one by `series`, a part of its "
                "description, or by narrower patterns."
            )
        return chosen[0]

    def _is_chosen(self, series: DicomSeries) -> bool:
        return self.description is None or bool(
            re.search(self.description, series.files[0].description, flags=re.IGNORECASE)
        )


def open_dicom_cases(
    images: str | Sequence[str], labels: str, *, plane: str, choice: SeriesChoice
) -> tuple[LabelledVolume, ...]:
    """The cases of DICOM series; headers are read, and no pixels.

    The patient (PatientID) is the group; where it was removed, what the first wildcard of the folder matched.

    Args:
        images: Pattern of folders, each with one series at any depth; three patterns as for NIfTI. With SEG labels,
            the folders together may hold any number of series, and one pattern alone is meant.
        labels: Pattern of NIfTI volumes, which belong to the folders that the wildcards say, or of DICOM files: the
            SEG objects among them belong to the series that they refer to, wherever they lie.
        plane: "axial", "coronal" or "sagittal".
        choice: Which series of a folder.

    Raises:
        ValueError: A folder or label without partner or with several, a series that is no regular volume, a label on
            another grid, or a file that cannot be read.
    """
    found = _matches(labels, what="labels")
    if all(path.name.lower().endswith(_VOLUME_ENDINGS) for path in found if path.is_file()):
        patterns = [images] if isinstance(images, str) else list(images)
        pairings = [pair_files(pattern, labels, image_folders=True) for pattern in patterns]
        open_image = partial(_open_image, plane=plane, choice=choice)
        cases = [
            open_case(each, open_image=open_image, open_label=open_nifti_label) for each in cases_of_pairs(pairings)
        ]
        return tuple(replace(case, group=_patient(case.images[0]) or case.group) for case in cases)
    if not isinstance(images, str):
        raise ValueError(f"Expected one pattern of images with labels from SEG objects, but got {list(images)}.")
    return _segmented_cases(images, found, plane=plane, choice=choice)


def _segmented_cases(
    images: str, labels: Sequence[Path], *, plane: str, choice: SeriesChoice
) -> tuple[LabelledVolume, ...]:
    folders = [path for path in _matches(images, what="images") if path.is_dir()]
    inside = {file.path: file for folder in folders for file in dicom_files(folder)}
    series = {one.uid: one for one in choice.of(list(inside.values()), where=images)}
    entries = [inside.get(path) or dicom_file(path) for path in labels if path.is_file()]
    files = {entry.path: entry for entry in entries if entry is not None and entry.modality == "SEG"}
    by_series: dict[str, Segmentation] = {}
    for segmentation in (Segmentation.of(path) for path in files):
        if (first := by_series.setdefault(segmentation.series, segmentation)) is not segmentation:
            raise ValueError(
                f"Expected one SEG for a series, but {first.path} and {segmentation.path} belong to the same one: make "
                "`labels` narrower."
            )
    used = [one for one in series.values() if one.uid in by_series]
    lone = [str(one.path) for uid, one in by_series.items() if uid not in series]
    if lone or not used:
        raise ValueError(
            f"Expected SEG objects that refer to series in {images}, but got {', '.join(lone[:3]) or 'none'} of "
            f"{len(by_series)} that refer to others."
        )
    if len(used) < len(series):
        _logger.warning(
            "%d of %d series in %s have no SEG and are left out.", len(series) - len(used), len(series), images
        )
    _warn_of_names([by_series[one.uid] for one in used])
    names = _names(used)
    return tuple(
        _segmented(one, files[by_series[one.uid].path], name=name, plane=plane)
        for name, one in zip(names, used, strict=True)
    )


def _segmented(series: DicomSeries, label: DicomFile, *, name: str, plane: str) -> LabelledVolume:
    volume = DicomVolume.of(series)
    grid = volume.grid(plane)
    read = SegmentationLabels(label.path, volume.stack)
    return LabelledVolume(
        name=name,
        group=series.files[0].patient or name,
        images=(ImageSource(grid, volume),),
        label=LabelSource(label.path, grid, identity_of((label, *series.files)), read),
        grid=grid,
    )


def _open_image(folder: VolumeFile, *, plane: str, choice: SeriesChoice) -> ImageSource:
    volume = DicomVolume.of(choice.only(folder.path))
    return ImageSource(replace(volume.grid(plane), path=folder.path), volume)


def _patient(image: ImageSource) -> str:
    return image.stored.series.files[0].patient if isinstance(image.stored, DicomVolume) else ""


def _names(series: Sequence[DicomSeries]) -> list[str]:
    """The patient's name with the number of the series, where it is not the only one; else the end of its UID too."""
    patients = [one.files[0].patient.replace("/", "-") or one.folder.name for one in series]
    numbered = [f"{patient}-{one.files[0].number}" for patient, one in zip(patients, series, strict=True)]
    times, numbered_times = Counter(patients), Counter(numbered)
    return [
        patient if times[patient] == 1 else name if numbered_times[name] == 1 else f"{name}-{one.uid.split('.')[-1]}"
        for patient, name, one in zip(patients, numbered, series, strict=True)
    ]


def _warn_of_names(segmentations: Sequence[Segmentation]) -> None:
    """Say which value is which segment; warn where files call the same value otherwise."""
    meant: dict[int, Segmentation] = {}
    for one in segmentations:
        for number, name in one.names.items():
            first = meant.setdefault(number, one)
            if first is one:
                _logger.info("Label value %d is %r in %s.", number, name, one.path)
            elif first.names[number] != name:
                _logger.warning(
                    "Label value %d is %r in %s, but %r in %s.", number, first.names[number], first.path, name, one.path
                )


def _matches(pattern: str, *, what: str) -> list[Path]:
    found = sorted(glob.glob(expanded(pattern).as_posix(), recursive=True))
    if not found:
        raise ValueError(f"Expected `{what}` to match something, but nothing matches {pattern!r}.")
    return [Path(path) for path in found]


def _listed(series: Sequence[DicomSeries]) -> str:
    listed = "; ".join(str(one) for one in series[:6])
    return (f"{len(series)} series: {listed}" + (" ..." if len(series) > 6 else "")) if series else "none"
