"""MONAI's side of `nifti_random_slices`: every volume in memory, slices cut from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from monai.data import CacheDataset
from monai.transforms import LoadImaged


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    cases = sorted((folder / "volumes").iterdir())
    files = [{name: str(case / f"{name}.nii.gz") for name in ("image", "label")} for case in cases]
    volumes = CacheDataset(files, LoadImaged(keys=("image", "label")), cache_rate=1.0, num_workers=0, progress=False)
    places = np.load(folder / "places.npy").tolist()

    def work() -> dict[str, np.ndarray]:
        found = {"image": [], "label": []}
        for volume, index in places:
            case = volumes[volume]
            for name, slices in found.items():
                slices.append(np.array(case[name].array[..., index][::-1, ::-1].T))
        return {f"{name}s": np.stack(slices) for name, slices in found.items()}

    return work
