"""Tasks of the Medical Segmentation Decathlon as they are published: `dataset.json`, `imagesTr`, `labelsTr`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Unpack

from sam_ft.checks import quoted
from sam_ft.data.channel_choice import Channel, chosen_channels
from sam_ft.data.folders import expanded
from sam_ft.data.folds import FoldSplit
from sam_ft.data.json_files import read_json_object
from sam_ft.data.label_names import LabelNames, label_names
from sam_ft.data.nifti.cases import open_nifti_cases
from sam_ft.data.nifti.reading import num_time_points, open_volume
from sam_ft.data.nnunet.description import numbered_names, path_inside
from sam_ft.data.splits import DataSplits, GroupSplit, SlabSplit
from sam_ft.data.volumes.cases import CaseFiles, VolumeFile
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.parts import volume_splits
from sam_ft.data.volumes.view import View


def msd_splits(
    root: str | Path,
    *,
    split: GroupSplit | FoldSplit | SlabSplit,
    channels: Channel | Sequence[Channel] | None = None,
    group: str | None = None,
    objects: ObjectRule | None = None,
    axis: str = "axial",
    **view: Unpack[View],
) -> DataSplits:
    """A folder `TaskNN_NAME` in parts: the slices of its training cases, since the test cases have no labels.

    Args:
        root: The task's folder; `~` and environment variables are expanded.
        split: How the cases are divided; a group is a case.
        channels: One of the `modality` names, or three for red, green and blue, by name or number; None: all, if one or
            three. They are the last axis of 4-D images.
        group: Which cases stay together, as of `nifti_splits`. None: each is its own.
        objects: What counts as an object; its classes are those of `dataset.json` where it names none.
        axis: Along which volumes are cut.
        **view: How they are cut and shown.

    Raises:
        ValueError: A description that is not understood, a missing file or one outside the folder, an image with
            another number of channels, or what `volume_splits` raises. The file is named.

    Source: M. Antonelli et al., "The Medical Segmentation Decathlon" (2022), and its archives.
    """
    cases, names = training_cases(expanded(root) / "dataset.json", channels)
    volumes = open_nifti_cases(cases, plane=axis)
    return volume_splits(volumes, split=split, group=group, objects=objects, names=names, **view)


def training_cases(path: Path, channels: Channel | Sequence[Channel] | None) -> tuple[list[CaseFiles], LabelNames]:
    """The chosen channels of the training cases with their labels, and what the labels mean, as a description says.

    Raises:
        ValueError: What is said of `msd_splits`; of the images the headers are read.
    """
    content = read_json_object(path)
    if "channel_names" in content:
        raise ValueError(f"Expected `modality` in {path}, but got channel_names, as in nnU-Net 2: data=nnunet.")
    modalities = numbered_names(content.get("modality"), what="modality", path=path)
    chosen = chosen_channels(modalities, channels, path=path)
    cases = [
        CaseFiles(name=name, group=name, images=_images(image, chosen, modalities, path), label=label)
        for name, image, label in _training(content.get("training"), path)
    ]
    return cases, label_names(content.get("labels"), path=path)


def _training(listed: object, path: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, image and label of every case; what macOS leaves beside files (`._NAME`) is left out."""
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"Expected a list of cases as `training` in {path}, but got {quoted(listed)}.")
    taken: set[str] = set()
    for entry in listed:
        if not isinstance(entry, dict):
            raise ValueError(f"Expected image and label of each training case in {path}, but got {quoted(entry)}.")
        if Path(str(entry.get("image"))).name.startswith("._"):
            continue
        image, label = (path_inside(path.parent, entry.get(part), source=path) for part in ("image", "label"))
        name = image.name.removesuffix(".gz").removesuffix(".nii")
        if name in taken:
            raise ValueError(f"Expected each training case once in {path}, but {name} is there twice.")
        taken.add(name)
        yield name, image, label


def _images(image: Path, chosen: Sequence[int], modalities: Sequence[str], source: Path) -> tuple[VolumeFile, ...]:
    num_channels = num_time_points(open_volume(image))
    if num_channels != len(modalities):
        raise ValueError(
            f"Expected {len(modalities)} channels ({', '.join(modalities)}) in {image}, as {source} says, but got "
            f"{num_channels}."
        )
    return tuple(VolumeFile(image, number if num_channels > 1 else None) for number in chosen)
