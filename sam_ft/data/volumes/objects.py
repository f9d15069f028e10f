"""Which objects a label slice holds: classes of label values, whole or as connected components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from sam_ft.masks.room import expect_room

KINDS = ("labels", "components", "components_3d")
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class ObjectRule:
    """What counts as an object of a slice.

    Args:
        kind: "labels": all pixels of a class are one object. "components": each of their connected regions in the
            slice is one (pixels that touch at a corner are connected). "components_3d": all pixels of the slice that
            are connected somewhere in the volume are one; see `regions`.
        classes: Name -> one label value or several; classes may overlap (grey: 1, white: 2, brain: [1, 2]).
            None: every value above 0 is a class, called "label_VALUE".
        ignored: Values of pixels whose class nobody knows; they belong to no object and are `Sample.ignored`.
        min_area_px: Smallest area in pixels of the slice with square pixels.
        min_area_mm2: Smallest area in mm2; both limits hold.

    Raises:
        ValueError: An unknown kind, no classes, a class without values, with background or with an ignored value, a
            negative area.
    """

    kind: str = "labels"
    classes: Mapping[str, int | Sequence[int]] | None = None
    min_area_px: int = 10
    min_area_mm2: float = 0.0
    ignored: int | Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Expected `kind` of objects to be one of {', '.join(KINDS)}, but got {self.kind!r}.")
        if self.min_area_px < 0 or self.min_area_mm2 < 0:
            raise ValueError(
                f"Expected smallest areas of 0 or more, but got {self.min_area_px} px and {self.min_area_mm2} mm2."
            )
        if not isinstance(self.ignored, (int, Sequence)) or not all(
            type(value) is int and value > 0 for value in self.ignored_values
        ):
            raise ValueError(f"Expected `ignored` to be integer values above 0, but got {self.ignored!r}.")
        if self.classes is not None and not self.classes:
            raise ValueError("Expected `classes` to name at least one class, but got none.")
        for name, values in (self.classes or {}).items():
            if not _as_tuple(values) or not all(type(value) is int and value > 0 for value in _as_tuple(values)):
                raise ValueError(f"Expected class {name!r} to have integer values above 0, but got {values!r}.")
            if set(_as_tuple(values)) & set(self.ignored_values):
                raise ValueError(f"Expected class {name!r} without ignored values, but got {values!r}.")

    @property
    def ignored_values(self) -> tuple[int, ...]:
        """The values of pixels whose class nobody knows."""
        return _as_tuple(self.ignored)

    def in_slices(self) -> ObjectRule:
        """The same rule for single slices: what is connected in the volume becomes what is connected in the slice."""
        return replace(self, kind="components") if self.kind == "components_3d" else self

    def values_by_class(self, present: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """The classes as name -> values; those of the values `present` where the rule names none."""
        if self.classes is None:
            classes = (value for value in present if value > 0 and value not in self.ignored_values)
            return {f"label_{value}": (int(value),) for value in classes}
        return {name: _as_tuple(values) for name, values in self.classes.items()}

    def label_value(self, class_name: str) -> int | None:
        """The label value of a class; None for a union of several, which cannot share a label map with them."""
        if self.classes is None:
            return int(class_name.removeprefix("label_"))
        values = _as_tuple(self.classes[class_name])
        return values[0] if len(values) == 1 else None

    def ignored_in(self, labels: np.ndarray) -> np.ndarray | None:
        """(H, W) labels -> (H, W) bool, which pixels are of no known class; None where no value is ignored."""
        return has_value(labels, self.ignored_values) if self.ignored_values else None

    def has_label_values(self) -> bool:
        """Whether any class has a label value of its own; see `label_value`."""
        return self.classes is None or any(self.label_value(name) is not None for name in self.classes)

    def smallest_px(self, pixel_mm: tuple[float, float]) -> float:
        """The smallest area of an object in pixels, where both limits hold."""
        return max(self.min_area_px, self.min_area_mm2 / (pixel_mm[0] * pixel_mm[1]), 1)

    def objects_of(
        self, labels: np.ndarray, *, pixel_mm: tuple[float, float], path: Path
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """(H, W) labels -> (N, H, W) bool masks and N class names; N is 0 where nothing is large enough.

        Raises:
            ValueError: The kind is "components_3d", which a slice alone cannot tell; or as `large_enough`.
        """
        return self.large_enough(self.every_object(labels), size=labels.shape, pixel_mm=pixel_mm, path=path)

    def large_enough(
        self,
        objects: Iterable[tuple[str, np.ndarray]],
        *,
        size: tuple[int, ...],
        pixel_mm: tuple[float, float],
        path: Path,
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Class names and (H, W) masks -> (N, H, W) bool masks and N class names of those that are large enough.

        Raises:
            ValueError: They are too many for any memory; `path`, which they are from, is named.
        """
        smallest = self.smallest_px(pixel_mm)
        kept: list[tuple[str, np.ndarray]] = []
        for name, mask in objects:
            if np.count_nonzero(mask) >= smallest:
                expect_room(len(kept) + 1, size=mask.shape, path=path)
                kept.append((name, mask))
        stacked = np.stack([mask for _, mask in kept]) if kept else np.zeros((0, *size), dtype=bool)
        return stacked, tuple(name for name, _ in kept)

    def every_object(
        self, labels: np.ndarray, *, among: Sequence[int] | None = None
    ) -> Iterator[tuple[str, np.ndarray]]:
        """(H, W) labels -> class name and (H, W) bool mask of every object, however small; raises as `objects_of`.

        Args:
            labels: Of one slice.
            among: The only values that can occur, where they are known, which saves the search.
        """
        if self.kind == "components_3d":
            raise ValueError("Expected a whole volume to find objects of kind components_3d in, but got a slice.")
        for name, values in self.values_by_class(present_values(labels) if among is None else among).items():
            where = has_value(labels, values)
            if where.any():
                for mask in self._split(where):
                    yield name, mask

    def _split(self, mask: np.ndarray) -> Iterator[np.ndarray]:
        if self.kind == "labels":
            yield mask
            return
        regions, num_regions = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
        yield from (regions == region for region in range(1, num_regions + 1))


def present_values(labels: np.ndarray) -> list[int]:
    """The values in integer labels of any shape, rising; those of a volume plane by plane, for the memory."""
    parts = labels if labels.ndim > 2 else [labels]
    return sorted({int(value) for part in parts for value in np.unique(part)})


def has_value(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Where labels have one of some values: bool; as `numpy.isin`, faster for few values."""
    first, *others = values
    found: np.ndarray = labels == first
    for value in others:
        found |= labels == value
    return found


def _as_tuple(values: int | Sequence[int]) -> tuple[int, ...]:
    return (values,) if isinstance(values, int) else tuple(values)
