"""Which slice of a label volume holds which object, found out once and kept beside the decoded volumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sam_ft.data.volumes.disk_cache import Facts
from sam_ft.data.volumes.grid import Extent, SliceGrid, extent
from sam_ft.data.volumes.objects import ObjectRule, present_values
from sam_ft.data.volumes.regions import label_regions, layers_of, objects_of_regions
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.data.volumes.sources import LabelSource


@dataclass(frozen=True)
class ObjectTable:
    """The objects of every slice of one label volume, however small."""

    values: tuple[int, ...]  # label values above 0
    extent: Extent | None  # the rectangle of a slice that holds the labels of all slices, ignored ones left out
    largest_px: tuple[int, ...]  # for each slice the area of its largest object; 0: none
    region_names: tuple[tuple[str, ...], ...]  # for kind components_3d: layer -> class of region 1, 2, ...

    def holds_object(self, index: int, *, smallest_px: float) -> bool:
        """Whether slice `index` holds an object of at least this area."""
        return self.largest_px[index] > 0 and self.largest_px[index] >= smallest_px


def table_of(label: LabelSource, *, rule: ObjectRule, cache: SliceCache) -> ObjectTable:
    """The table of a label volume, from the cache or by one pass over its voxels.

    Raises:
        ValueError: As `read_labels`.
    """
    facts = cache.facts(_key(label, rule, "table"), compute=lambda: _facts(label, rule, cache))
    rectangle = facts["extent"]
    return ObjectTable(
        values=tuple(facts["values"]),
        extent=None if rectangle is None else tuple(rectangle),
        largest_px=tuple(facts["largest_px"]),
        region_names=tuple(tuple(names) for names in facts["region_names"]),
    )


def masks_in(
    label: LabelSource, index: int, *, grid: SliceGrid, rule: ObjectRule, table: ObjectTable, cache: SliceCache
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N, H, W) bool masks and N class names of the objects that `grid` shows of a slice and that are large enough.

    Raises:
        ValueError: As `ObjectRule.large_enough`, or the label's file has changed.
    """
    found = _objects_in(label, index, grid=grid, rule=rule, table=table, cache=cache)
    return rule.large_enough(found, size=grid.picture_size, pixel_mm=grid.pixel_mm, path=label.path)


def small_in(
    label: LabelSource, index: int, *, grid: SliceGrid, rule: ObjectRule, table: ObjectTable, cache: SliceCache
) -> dict[str, np.ndarray]:
    """Class -> (H, W) bool, the pixels of its objects that `masks_in` leaves out; of classes with such an object.

    Raises:
        ValueError: The label's file has changed.
    """
    smallest = rule.smallest_px(grid.pixel_mm)
    small: dict[str, np.ndarray] = {}
    for name, mask in _objects_in(label, index, grid=grid, rule=rule, table=table, cache=cache):
        if np.count_nonzero(mask) < smallest:
            small[name] = small[name] | mask if name in small else mask
    return small


def _objects_in(
    label: LabelSource, index: int, *, grid: SliceGrid, rule: ObjectRule, table: ObjectTable, cache: SliceCache
) -> Iterator[tuple[str, np.ndarray]]:
    """Class name and (H, W) bool mask of every object that `grid` shows of a slice, however small."""
    if rule.kind != "components_3d":
        labels = grid.labels_to_picture(grid.shown(label.plane(index, cache=cache)))
        yield from rule.every_object(labels, among=table.values)
        return
    label.identity.refuse_change()
    for layer, names in enumerate(table.region_names):
        key = _key(label, rule, "regions", layer)
        plane = cache.plane(key, index, decode=lambda layer=layer: _regions(label.planes(cache), rule)[layer][0])  # type: ignore[misc]
        yield from objects_of_regions(grid.labels_to_picture(grid.shown(plane)), names)


def _facts(label: LabelSource, rule: ObjectRule, cache: SliceCache) -> Facts:
    planes = label.planes(cache)
    values = [value for value in present_values(planes) if value > 0]
    layers = _regions(planes, rule) if rule.kind == "components_3d" else []
    ignored = rule.ignored_in(planes)
    return {
        "values": values,
        "extent": extent(planes if ignored is None else np.where(ignored, 0, planes)),
        "largest_px": [_largest(label.grid, rule, planes, layers, index) for index in range(len(planes))],
        "region_names": [names for _, names in layers],
    }


def _largest(
    grid: SliceGrid, rule: ObjectRule, planes: np.ndarray, layers: list[tuple[np.ndarray, list[str]]], index: int
) -> int:
    if not planes[index].any():
        return 0
    found: Iterator[tuple[str, np.ndarray]]
    if rule.kind == "components_3d":
        pictures = ((grid.labels_to_picture(regions[index]), names) for regions, names in layers)
        found = (each for regions, names in pictures for each in objects_of_regions(regions, names))
    else:
        found = rule.every_object(grid.labels_to_picture(planes[index]))
    return max((int(np.count_nonzero(mask)) for _, mask in found), default=0)


def _regions(planes: np.ndarray, rule: ObjectRule) -> list[tuple[np.ndarray, list[str]]]:
    """The connected regions of (slices, rows, columns) labels, layer by layer; see `regions`."""
    present = [value for value in present_values(planes) if value > 0]
    return [label_regions(planes, classes) for classes in layers_of(rule, present)]


def _key(label: LabelSource, rule: ObjectRule, *parts: object) -> str:
    """Everything that decides where objects are, except how large one has to be."""
    classes = None if rule.classes is None else list(rule.values_by_class([]).items())
    ignored = [list(rule.ignored_values)] if rule.ignored_values else []
    return label.key(rule.kind, classes, label.grid.plane_size, label.grid.picture_size, *ignored, *parts)
