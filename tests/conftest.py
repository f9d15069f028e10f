"""What every test relies on: one thread, fixed seeds, no network, real data only where SAM_FT_DATA names it."""

from __future__ import annotations

import os

# Before anything imports them: albumentations and wandb ask the network, OpenMP reads its threads once.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("sam-ft", deadline=None)  # a busy machine is no defect
settings.load_profile("sam-ft")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason."""
    folder = os.environ.get("SAM_FT_DATA")
    if folder and not Path(folder).is_dir():
        raise pytest.UsageError(f"Expected SAM_FT_DATA to name a folder, but got {folder}.")
    for item in items:
        if not folder and item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason="SAM_FT_DATA is unset: it names a folder of real data"))
        if not torch.cuda.is_available() and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries draw from the global state)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept in the user's own folder, and no test sees what another one decoded."""
    monkeypatch.setenv("SAM_FT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data; for tests marked `data`."""
    return Path(os.environ["SAM_FT_DATA"])
