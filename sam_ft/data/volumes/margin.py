"""Slices without the empty margin around the foreground of their volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sam_ft.data.volumes.cases import LabelledVolume
from sam_ft.data.volumes.grid import Extent
from sam_ft.data.volumes.slice_cache import SliceCache


def without_margin(volume: LabelledVolume, *, labelled: Extent | None, cache: SliceCache) -> LabelledVolume:
    """The same volume, of whose slices only the rectangle is shown that holds the foreground of any of its images.

    Args:
        volume: With whole slices.
        labelled: The rectangle that holds its labels; None: there are none.
        cache: Where the rectangle of the foreground is kept.

    Raises:
        ValueError: A label outside the rectangle, or nothing in it.
    """
    found = [rectangle for image in volume.images if (rectangle := image.foreground_extent(cache)) is not None]
    if not found:
        raise ValueError(f"Expected something to show in {volume.images[0].path}, but got an empty volume.")
    tops, bottoms, lefts, rights = zip(*found, strict=True)
    shown = min(tops), max(bottoms), min(lefts), max(rights)
    grid = volume.grid.showing(shown)
    if labelled is not None and not _is_within(labelled, shown):
        planes = volume.label.planes(cache)
        hidden = np.count_nonzero(planes) - np.count_nonzero(grid.shown(planes))
        raise ValueError(
            f"Expected every label of {volume.label.path} within the foreground of {volume.images[0].path}, "
            f"but {hidden} voxels lie outside: crop=null shows the whole slices."
        )
    return replace(volume, grid=grid)


def _is_within(inner: Extent, outer: Extent) -> bool:
    return inner[0] >= outer[0] and inner[1] <= outer[1] and inner[2] >= outer[2] and inner[3] <= outer[3]
