"""The objects of one image as label maps, on which overlaps are counted in whole pixels without a float per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sam_ft.data.layers import Layers, layers_of
from sam_ft.types import Sample

_VALUES = 256
"""Of a label map of 8 bits."""


@dataclass(frozen=True)
class TruthMaps:
    """The N objects of an image, and where nobody knows what there is."""

    layers: Layers
    areas: np.ndarray  # (N,) int64
    ignored: np.ndarray  # (H, W) bool; where an object lies, it is known

    def shared(self, mask: np.ndarray) -> np.ndarray:
        """How many pixels a mask (H, W) of bool shares with each object: (N,) int64."""
        counts = np.array([np.bincount(labels[mask], minlength=_VALUES) for labels in self.layers.maps])
        return self._of_objects(counts.reshape(len(self.layers.maps), 1, _VALUES))[0]

    def shared_by_segments(self, segments: np.ndarray, *, num_segments: int) -> np.ndarray:
        """How many pixels each segment shares with each object.

        Args:
            segments: (H, W) whole numbers, 1 to K in the segments and 0 elsewhere.
            num_segments: K.

        Returns:
            (K, N) int64.
        """
        rows = num_segments + 1
        counts = [
            np.bincount((segments.astype(np.int64) * _VALUES + labels).ravel(), minlength=rows * _VALUES)
            for labels in self.layers.maps
        ]
        return self._of_objects(np.array(counts, dtype=np.int64).reshape(-1, rows, _VALUES))[1:]

    def areas_of_segments(self, segments: np.ndarray, *, num_segments: int) -> tuple[np.ndarray, np.ndarray]:
        """How many pixels each segment of such a map has, and how many of them nobody knows: twice (K,) int64."""
        whole, unknown = (
            np.bincount(part.ravel(), minlength=num_segments + 1)[1:] for part in (segments, segments[self.ignored])
        )
        return whole, unknown

    def ious_of_segments(self, segments: np.ndarray, *, num_segments: int) -> np.ndarray:
        """The IoU of each segment with each object, (K, N) float64; what nobody knows is part of no segment."""
        whole, unknown = self.areas_of_segments(segments, num_segments=num_segments)
        shared = self.shared_by_segments(segments, num_segments=num_segments)
        return ious_of(shared, whole - unknown, self.areas)

    def num_ignored(self, mask: np.ndarray) -> int:
        """How many pixels of a mask (H, W) nobody knows."""
        return int(np.count_nonzero(self.ignored & mask))

    def _of_objects(self, counts: np.ndarray) -> np.ndarray:
        """(L, K, 256) by map and value -> (K, N) by object."""
        columns = [counts[layer, :, value] for layer, value in self.layers.places]
        return np.stack(columns, axis=1) if columns else np.zeros((counts.shape[1], 0), dtype=np.int64)


def truth_maps(sample: Sample) -> TruthMaps:
    """The objects of a sample at its resolution."""
    layers = layers_of(sample.masks.numpy())
    unknown = sample.unknown
    ignored = np.zeros(sample.masks.shape[1:], dtype=bool) if unknown is None else unknown.numpy()
    return TruthMaps(layers=layers, areas=layers.areas(), ignored=ignored)


def ious_of(shared: np.ndarray, areas: np.ndarray, object_areas: np.ndarray) -> np.ndarray:
    """IoUs (K, N) float64 from shared pixels (K, N) and areas (K,) and (N,); 0 where both are empty."""
    union = areas[:, None] + object_areas - shared
    return shared / np.maximum(union, 1)
