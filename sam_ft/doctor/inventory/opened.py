"""Volumes that are no NIfTI files, as their readers open them: `data=dicom` and `data=medsam`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from sam_ft.data.dicom.cases import SeriesChoice, open_dicom_cases
from sam_ft.data.folders import expanded
from sam_ft.data.label_names import label_names_in
from sam_ft.data.medsam.parts import cases_in, medsam_splits
from sam_ft.data.splits import Part
from sam_ft.data.volumes.cases import LabelledVolume
from sam_ft.data.volumes.pairing import folder_of
from sam_ft.data.volumes.view import View
from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Finding
from sam_ft.doctor.inventory.samples import sample_cases
from sam_ft.doctor.inventory.volumes import cases_of_volumes, divided, volume_inventory


def dicom_series(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `dicom_splits`; raises as `open_dicom_cases`."""
    labels, axis = arguments["labels"], arguments.get("axis", "axial")
    choice = SeriesChoice(arguments.get("series"))
    volumes = open_dicom_cases(arguments["images"], labels, plane=axis, choice=choice)
    cases, findings = divided(cases_of_volumes(volumes, group=arguments.get("group")), arguments["split"])
    return volume_inventory(
        cases,
        arguments,
        names=label_names_in(folder_of(labels)),
        num_sequences=len(volumes[0].images),
        findings=findings,
    )


def medsam_archives(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `medsam_splits`; single images are listed by their samples. Raises as `medsam_splits`."""
    root, group = expanded(arguments["root"]), arguments.get("group")
    volumes, shown = _volumes_in(root, arguments)
    if not any(volumes.values()):
        return sample_cases(medsam_splits(**arguments))
    cases: list[Case] = []
    findings: list[Finding] = []
    for part, some in volumes.items():
        found = cases_of_volumes(some, group=group)
        if part is None:
            found, findings = divided(found, arguments["split"])
        else:
            found = [replace(case, part=part) for case in found]
        cases += found
    return volume_inventory(
        cases,
        {**arguments, **shown},
        names=label_names_in(root),
        num_sequences=len(next(volume for some in volumes.values() for volume in some).images),
        findings=findings,
    )


def _volumes_in(root: Path, arguments: dict[str, Any]) -> tuple[dict[Part | None, list[LabelledVolume]], View]:
    """The volumes of each part that is a folder, or all under None; and how those of the first are shown."""
    parts: list[Part] = [part for part in get_args(Part) if (root / part).is_dir()]
    folders: dict[Part | None, Path] = {None: root}
    if {"train", "val"} <= set(parts):
        folders = {part: root / part for part in parts}
    view = cast(View, {key: arguments[key] for key in View.__annotations__ if key in arguments})
    read = {
        part: cases_in(folder, group=arguments.get("group"), axis=arguments.get("axis", "axial"), view=view)
        for part, folder in folders.items()
    }
    return {part: volumes for part, (volumes, _, _) in read.items()}, next(iter(read.values()))[2]
