"""From the function that builds a data set, with its arguments, to the inventory of what it would read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sam_ft.data.dicom.parts import dicom_splits
from sam_ft.data.image_mask import image_mask_splits
from sam_ft.data.manifest import manifest_splits
from sam_ft.data.medsam.parts import medsam_splits
from sam_ft.data.msd import msd_splits
from sam_ft.data.nifti.parts import nifti_splits
from sam_ft.data.nnunet.parts import nnunet_splits
from sam_ft.data.semantic_maps import semantic_maps_splits
from sam_ft.data.splits import DataSplits
from sam_ft.doctor.cases import Inventory
from sam_ft.doctor.findings import refusal
from sam_ft.doctor.inventory.described import decathlon_cases, nnunet_cases
from sam_ft.doctor.inventory.folders import class_maps, instance_maps
from sam_ft.doctor.inventory.hearing import heard, warnings_of_readers
from sam_ft.doctor.inventory.look import pixel_rule
from sam_ft.doctor.inventory.opened import dicom_series, medsam_archives
from sam_ft.doctor.inventory.patterns import volume_pairs
from sam_ft.doctor.inventory.samples import sample_cases
from sam_ft.doctor.inventory.table import listed_rows

List = Callable[[dict[str, Any]], Inventory]

TOLERANT: dict[Callable[..., DataSplits], List] = {
    image_mask_splits: instance_maps,
    semantic_maps_splits: class_maps,
    manifest_splits: listed_rows,
    nifti_splits: volume_pairs,
}
"""The layouts that are listed whatever is wrong with some of their files."""
BY_READERS: dict[Callable[..., DataSplits], List] = {
    nnunet_splits: nnunet_cases,
    msd_splits: decathlon_cases,
    dicom_splits: dicom_series,
    medsam_splits: medsam_archives,
}
"""The layouts that readers list or open: what they refuse is a finding, and what they warn of is another."""


def inventory_of(build: partial[DataSplits]) -> Inventory:
    """What a data set holds; a layout that is in neither table is built and listed by its samples.

    Raises:
        ValueError: What is given is no such data set at all: no such folder, no such table, a wrong pattern.
    """
    if build.func in TOLERANT:
        return TOLERANT[build.func](dict(build.keywords))
    try:
        with heard() as texts:
            listed = BY_READERS.get(build.func)
            inventory = _by_samples(build) if listed is None else listed(dict(build.keywords))
    except ValueError as err:
        return Inventory(cases=(), findings=[refusal(err)])
    return replace(inventory, findings=[*inventory.findings, *warnings_of_readers(texts)])


def _by_samples(build: partial[DataSplits]) -> Inventory:
    return replace(sample_cases(build()), pixels=pixel_rule(build.keywords))
