"""Volumes with label volumes as cases, whatever reader lists or opens them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sam_ft.data.groups import group_in
from sam_ft.data.label_names import LabelNames
from sam_ft.data.splits import SlabSplit
from sam_ft.data.volumes.cases import CaseFiles, LabelledVolume
from sam_ft.data.volumes.channels import channels_of
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.doctor.cases import Case, Inventory, Opened
from sam_ft.doctor.findings import Finding
from sam_ft.doctor.inventory.parts import Split, assigned


def cases_of_files(listed: Sequence[CaseFiles], *, group: str | None) -> list[Case]:
    """A case for each image of each entry, of which the first has the label; no file is opened.

    Raises:
        ValueError: As `group_in`.
    """
    return [case for files in listed for case in _images_of_files(files, group)]


def cases_of_volumes(volumes: Sequence[LabelledVolume], *, group: str | None) -> list[Case]:
    """A case for each image of each volume, of which the first has the label; raises as `LabelledVolume.group_by`."""
    return [case for volume in volumes for case in _images_of_volume(volume, group)]


def divided(cases: Sequence[Case], split: Split | SlabSplit) -> tuple[list[Case], list[Finding]]:
    """The cases in their parts, with what is wrong with the split; of slabs every volume has all parts."""
    if isinstance(split, SlabSplit):
        return list(cases), []
    parts, findings = assigned([case.group for case in cases], split)
    return [replace(case, part=parts.get(case.group)) for case in cases], findings


def volume_inventory(
    cases: Sequence[Case],
    arguments: dict[str, Any],
    *,
    names: LabelNames | None,
    num_sequences: int,
    findings: Sequence[Finding] = (),
) -> Inventory:
    """What cases make with the settings that all readers of volumes share.

    Args:
        cases: In their parts.
        arguments: Of the reader: `axis`, `objects` and `window`.
        names: What the label values mean.
        num_sequences: Images of each case.
        findings: What was noticed so far.

    Raises:
        ValueError: As `channels_of`.
    """
    rule = arguments.get("objects") or ObjectRule()
    return Inventory(
        cases=cases,
        findings=findings,
        is_volumes=True,
        axis=arguments.get("axis", "axial"),
        window=channels_of(arguments.get("window"), num_sequences=num_sequences)[0].window,
        rule=rule if names is None else names.rule(rule),
    )


def _images_of_files(files: CaseFiles, rule: str | None) -> Iterator[Case]:
    group = files.group if rule is None else group_in(files.images[0].path, rule)
    for number, file in enumerate(dict.fromkeys(files.images)):  # a channel may be shown twice
        yield Case(
            name=_numbered(files.name, number),
            part=None,
            group=group,
            image=file.path,
            label=None if number else files.label,
            volume_index=file.volume_index,
        )


def _images_of_volume(volume: LabelledVolume, rule: str | None) -> Iterator[Case]:
    group = volume.group_by(rule)
    images = {(image.path, image.stored.volume_index): image for image in volume.images}
    for number, image in enumerate(images.values()):
        yield Case(
            name=_numbered(volume.name, number),
            part=None,
            group=group,
            image=image.path,
            label=None if number else volume.label.path,
            opened=Opened(image, None if number else volume.label),
        )


def _numbered(name: str, number: int) -> str:
    return f"{name}, sequence {number + 1}" if number else name
