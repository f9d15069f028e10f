"""Our side of `nifti_random_slices` in a process of its own, whose peak memory is that of reading alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.volumes.slice_cache import SliceCache


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    patterns = f"{folder}/volumes/*/image.nii.gz", f"{folder}/volumes/*/label.nii.gz"
    dataset = NiftiSlices(*patterns, window=(600.0, 1200.0), cache=SliceCache(folder=folder / "cache"))
    places = np.load(folder / "places.npy").tolist()

    def work() -> dict[str, np.ndarray]:
        images, labels = [], []
        for volume, index in places:
            case = dataset.volumes[volume]
            images.append(case.images[0].plane(index, cache=dataset.cache))
            labels.append(case.label.plane(index, cache=dataset.cache))
        return {"images": np.stack(images), "labels": np.stack(labels)}

    return work
