"""Connected regions of whole label volumes, as planes of numbers from which each slice's objects are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from sam_ft.data.volumes.objects import ObjectRule, has_value, present_values

_TOUCHING = np.ones((3, 3, 3), dtype=bool)


def layers_of(rule: ObjectRule, present: Sequence[int]) -> list[dict[str, tuple[int, ...]]]:
    """Classes in as few groups as it takes that no two of one group share a label value, each name -> values."""
    layers: list[dict[str, tuple[int, ...]]] = []
    for name, values in rule.values_by_class(present).items():
        fitting = (layer for layer in layers if all(set(values).isdisjoint(others) for others in layer.values()))
        layer = next(fitting, None)
        if layer is None:
            layers.append(layer := {})
        layer[name] = values
    return layers


def label_regions(labels: np.ndarray, classes: dict[str, tuple[int, ...]]) -> tuple[np.ndarray, list[str]]:
    """The connected regions of disjoint classes; voxels that touch at a corner are connected.

    Args:
        labels: (slices, rows, columns) integers.
        classes: Name -> label values.

    Returns:
        (slices, rows, columns) region numbers, 0 for none, and the class name of region 1, 2, ...
    """
    regions = np.zeros(labels.shape, dtype=np.int32)
    names: list[str] = []
    boxes = _boxes(labels)
    for name, values in classes.items():
        box = _around([boxes[value] for value in values if value in boxes])
        if box is not None:
            names += [name] * _number(labels[box], values, out=regions[box], first=len(names) + 1)
    return regions.astype(np.min_scalar_type(len(names))), names


def objects_of_regions(regions: np.ndarray, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """(H, W) region numbers of a slice -> class name and (H, W) bool mask of every region that shows in it."""
    for number in present_values(regions):
        if number:
            yield names[number - 1], regions == number


Box = tuple[slice, slice, slice]


def _number(labels: np.ndarray, values: Sequence[int], *, out: np.ndarray, first: int) -> int:
    """Writes the numbers of the regions of some values into `out`, from `first` on; how many there are."""
    numbers, num_regions = ndimage.label(has_value(labels, values), structure=_TOUCHING)
    for plane, plane_out in zip(numbers, out, strict=True):
        np.add(plane, first - 1, out=plane_out, where=plane > 0)
    return int(num_regions)


def _boxes(labels: np.ndarray) -> dict[int, Box]:
    """Label value -> the smallest box that holds it; found plane by plane, as it takes 16 bytes for each voxel."""
    found: dict[int, Box] = {}
    for index, plane in enumerate(labels):
        values, places = np.unique(plane, return_inverse=True)
        boxes = ndimage.find_objects(places.reshape(plane.shape) + 1)
        for value, (rows, columns) in zip(values.tolist(), boxes, strict=True):
            box = slice(index, index + 1), rows, columns
            if value > 0:
                found[value] = box if value not in found else _around([found[value], box]) or box
    return found


def _around(boxes: Sequence[Box]) -> Box | None:
    """The smallest box around several; None for none."""
    if not boxes:
        return None
    sides = [
        slice(min(side.start for side in axis), max(side.stop for side in axis)) for axis in zip(*boxes, strict=True)
    ]
    return sides[0], sides[1], sides[2]
