"""Volumes of patterns: `data=nifti`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam_ft.data.label_names import label_names_in
from sam_ft.data.nifti.reading import num_time_points, open_volume
from sam_ft.data.volumes.cases import cases_of_pairs
from sam_ft.data.volumes.pairing import Pairing, folder_of, pair_files
from sam_ft.doctor.cases import Inventory
from sam_ft.doctor.inventory.files import lone_findings
from sam_ft.doctor.inventory.volumes import cases_of_files, divided, volume_inventory


def volume_pairs(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `nifti_splits`; of three sequences each of the others is a case without a label.

    Raises:
        ValueError: A pattern matches nothing, a file could be paired twice, or `labels.json` is not understood.
    """
    images, labels = arguments["images"], arguments["labels"]
    patterns = [images] if isinstance(images, str) else list(images)
    names = label_names_in(folder_of(labels))
    pairings = [pair_files(pattern, labels) for pattern in patterns]
    lone_images = [
        path for pairing in pairings for path in pairing.lone_images if not _may_be_left_out(path, arguments)
    ]
    lone_labels = dict.fromkeys(path for pairing in pairings for path in pairing.lone_labels)
    files = cases_of_pairs(_whole(pairings), volume_index=arguments["volume_index"])
    cases, refused = divided(cases_of_files(files, group=arguments["group"]), arguments["split"])
    findings = [*lone_findings(lone_images, list(lone_labels)), *refused]
    return volume_inventory(cases, arguments, names=names, num_sequences=len(patterns), findings=findings)


def _whole(pairings: Sequence[Pairing]) -> list[Pairing]:
    """The pairs whose label has an image of every pattern; what is left over is a finding already."""
    common = set.intersection(*({pair.label for pair in pairing.pairs} for pairing in pairings))
    return [
        replace(
            pairing,
            pairs=tuple(pair for pair in pairing.pairs if pair.label in common),
            lone_images=(),
            lone_labels=(),
        )
        for pairing in pairings
    ]


def _may_be_left_out(path: Path, arguments: dict[str, Any]) -> bool:
    """Whether an image without a label is a 4-D series, which the reader leaves out where one volume is chosen."""
    if arguments["volume_index"] is None:
        return False
    try:
        return num_time_points(open_volume(path)) > 1
    except ValueError:
        return False
