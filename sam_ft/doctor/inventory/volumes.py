"""Volumes with label volumes: `data=nifti`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sam_ft.data.groups import group_in
from sam_ft.data.nifti.channels import channels_of
from sam_ft.data.nifti.pairing import Pair, pair_files
from sam_ft.data.nifti.reading import num_time_points, open_volume
from sam_ft.data.splits import Part, SlabSplit
from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Finding
from sam_ft.doctor.inventory.files import lone_findings
from sam_ft.doctor.inventory.parts import assigned


def volume_pairs(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `nifti_splits`; of three sequences each of the others is a case without a label.

    Raises:
        ValueError: A pattern matches nothing, or a file could be paired twice.
    """
    images = arguments["images"]
    patterns = [images] if isinstance(images, str) else list(images)
    pairings = [pair_files(pattern, arguments["labels"]) for pattern in patterns]
    lone_images = [
        path for pairing in pairings for path in pairing.lone_images if not _may_be_left_out(path, arguments)
    ]
    lone_labels = dict.fromkeys(path for pairing in pairings for path in pairing.lone_labels)
    groups = {pair.label: _group(pair, arguments["group"]) for pair in pairings[0].pairs}
    parts: Mapping[str, Part] = {}
    findings: list[Finding] = []
    split = arguments["split"]
    if not isinstance(split, SlabSplit):
        parts, findings = assigned(list(groups.values()), split)
    cases = []
    for number, pairing in enumerate(pairings):
        for pair in pairing.pairs:
            group = groups.get(pair.label, pair.name)
            name = pair.name if number == 0 else f"{pair.name}, sequence {number + 1}"
            label = pair.label if number == 0 else None
            cases.append(Case(name=name, part=parts.get(group), group=group, image=pair.image, label=label))
    return Inventory(
        cases=cases,
        findings=[*lone_findings(lone_images, list(lone_labels)), *findings],
        is_volumes=True,
        axis=arguments["axis"],
        volume_index=arguments["volume_index"],
        window=channels_of(arguments["window"], num_sequences=len(patterns))[0].window,
        rule=arguments["objects"],
    )


def _may_be_left_out(path: Path, arguments: dict[str, Any]) -> bool:
    """Whether an image without a label is a 4-D series, which the reader leaves out where one volume is chosen."""
    if arguments["volume_index"] is None:
        return False
    try:
        return num_time_points(open_volume(path)) > 1
    except ValueError:
        return False


def _group(pair: Pair, rule: str | None) -> str:
    """As `LabelledVolume.group_by`."""
    if rule is None:
        return pair.key[0] if pair.key else pair.name
    return group_in(pair.image, rule)
