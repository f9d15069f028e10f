"""Connected regions of whole label volumes, as planes of numbers from which each slice's objects are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from sam_ft.data.nifti.objects import ObjectRule, has_value, present_values

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
        if box is None:
            continue
        numbers, num_regions = ndimage.label(has_value(labels[box], values), structure=_TOUCHING)
        inside = numbers > 0
        regions[box][inside] = numbers[inside] + len(names)
        names += [name] * num_regions
    return regions.astype(np.min_scalar_type(len(names))), names


def objects_of_regions(regions: np.ndarray, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """(H, W) region numbers of a slice -> class name and (H, W) bool mask of every region that shows in it."""
    for number in present_values(regions):
        if number:
            yield names[number - 1], regions == number


Box = tuple[slice, slice, slice]


def _boxes(labels: np.ndarray) -> dict[int, Box]:
    """Label value -> the smallest box that holds it."""
    values, places = np.unique(labels, return_inverse=True)
    found = ndimage.find_objects(places.reshape(labels.shape) + 1)
    return {int(value): box for value, box in zip(values, found, strict=True) if value > 0}


def _around(boxes: Sequence[Box]) -> Box | None:
    """The smallest box around several; None for none."""
    if not boxes:
        return None
    sides = [
        slice(min(side.start for side in axis), max(side.stop for side in axis)) for axis in zip(*boxes, strict=True)
    ]
    return sides[0], sides[1], sides[2]
