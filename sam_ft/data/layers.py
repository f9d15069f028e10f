"""Many masks as few label maps, so that what is done to an image is not done again for each of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MOST_VALUES = 255


@dataclass(frozen=True)
class Layers:
    """Masks that do not overlap share a label map of 8 bits, in which each has a value of its own.

    Attributes:
        maps: (L, H, W) uint8, 0 where no mask is.
        places: for each mask in turn its map and its value.
    """

    maps: np.ndarray
    places: Sequence[tuple[int, int]]

    def areas(self) -> np.ndarray:
        """How many pixels each mask has: (N,)."""
        counts = [np.bincount(labels.ravel(), minlength=_MOST_VALUES + 1) for labels in self.maps]
        return np.array([counts[layer][value] for layer, value in self.places], dtype=np.int64)

    def masks(self, chosen: Sequence[int] | None = None) -> np.ndarray:
        """The masks again, all of them or those at some places: (N, H, W) bool."""
        places = self.places if chosen is None else [self.places[index] for index in chosen]
        masks = np.zeros((len(places), *self.maps.shape[1:]), dtype=bool)
        for mask, (layer, value) in zip(masks, places, strict=True):
            np.equal(self.maps[layer], value, out=mask)
        return masks


def layers_of(masks: np.ndarray) -> Layers:
    """(N, H, W) bool -> as few label maps as the first-come rule finds; none for no masks."""
    maps: list[np.ndarray] = []
    counts: list[int] = []
    places = []
    for mask in masks:
        fitting = (
            layer for layer, labels in enumerate(maps) if counts[layer] < _MOST_VALUES and not labels[mask].any()
        )
        layer = next(fitting, len(maps))
        if layer == len(maps):
            maps.append(np.zeros(mask.shape, dtype=np.uint8))
            counts.append(0)
        counts[layer] += 1
        maps[layer][mask] = counts[layer]
        places.append((layer, counts[layer]))
    return Layers(maps=np.array(maps, dtype=np.uint8).reshape(-1, *masks.shape[1:]), places=tuple(places))
