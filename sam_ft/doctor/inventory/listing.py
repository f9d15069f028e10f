"""From the function that builds a data set, with its arguments, to the inventory of what it would read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sam_ft.data.image_mask import image_mask_splits
from sam_ft.data.manifest import manifest_splits
from sam_ft.data.nifti.parts import nifti_splits
from sam_ft.data.semantic_maps import semantic_maps_splits
from sam_ft.data.splits import DataSplits
from sam_ft.doctor.cases import Inventory
from sam_ft.doctor.inventory.folders import class_maps, instance_maps
from sam_ft.doctor.inventory.samples import sample_cases
from sam_ft.doctor.inventory.table import listed_rows
from sam_ft.doctor.inventory.volumes import volume_pairs

INVENTORIES: dict[Callable[..., DataSplits], Callable[[dict[str, Any]], Inventory]] = {
    image_mask_splits: instance_maps,
    semantic_maps_splits: class_maps,
    manifest_splits: listed_rows,
    nifti_splits: volume_pairs,
}
"""The layouts whose files are looked at one by one, whatever is wrong with others of them."""


def inventory_of(build: partial[DataSplits]) -> Inventory:
    """What a data set holds; a layout that `INVENTORIES` does not know is built and listed by its samples.

    Raises:
        ValueError: What is given is no such data set at all: no such folder, no such table, a wrong pattern.
    """
    listing = INVENTORIES.get(build.func)
    return sample_cases(build()) if listing is None else listing(dict(build.keywords))
