from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sam_ft.data.nifti.slices import NiftiSlices
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.data.volumes.slice_cache import SliceCache
from sam_ft.types import Sample


def first(batch: list[Sample]) -> Sample:
    return batch[0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("disk_gib", [0, 1], ids=["memory", "disk"])
def test_workers_give_the_samples_that_the_data_set_gives_itself(nifti: Any, method: str, disk_gib: float) -> None:
    random = np.random.default_rng(0)
    for case in "abc":
        nifti.save_case(case, (random.random((12, 10, 6)) > 0.7).astype(np.uint8), nifti.affine("PIR"))

    def dataset() -> NiftiSlices:
        rule = ObjectRule(kind="components_3d", min_area_px=1)
        cache = SliceCache(disk_gib=disk_gib, memory_mib=0)
        return NiftiSlices(*nifti.patterns, objects=rule, cache=cache).with_neighbours(1)

    loader = DataLoader(
        dataset(), batch_size=1, num_workers=2, multiprocessing_context=method, collate_fn=first, timeout=120
    )  # type: ignore[var-annotated]
    samples = list(loader)
    assert len(samples) == 30
    for got, expected in zip(samples, dataset(), strict=True):
        assert got.name == expected.name and got.class_names == expected.class_names
        assert torch.equal(got.image, expected.image) and torch.equal(got.masks, expected.masks)
