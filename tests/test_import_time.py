"""`import sam_ft` stays quick: what is heavy is imported where it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SECONDS_BEYOND_TORCH = 2.0
ATTEMPTS = 3  # another process may hold the machine; one quick import shows that it can be quick

HEAVY = (
    "albumentations",
    "deepspeed",
    "hydra",
    "lightning",
    "monai",
    "omegaconf",
    "peft",
    "pytorch_lightning",
    "transformers",
    "wandb",
)

IMPORT = """
import json, sys, time
import torch
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps({{"seconds": seconds, "loaded": sorted(sys.modules)}}))
"""


def import_in_a_fresh_process(module: str) -> dict:
    """Seconds that the import takes after torch's own, and the names of all loaded modules."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORT.format(module=module)], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(result.stdout)


def test_importing_the_library_takes_under_two_seconds_beyond_torch() -> None:
    seconds = []
    for _ in range(ATTEMPTS):
        seconds.append(import_in_a_fresh_process("sam_ft")["seconds"])
        if seconds[-1] < SECONDS_BEYOND_TORCH:
            return
    pytest.fail(f"import sam_ft took {seconds} seconds")


@pytest.mark.parametrize("module", ["sam_ft", "sam_ft.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    loaded = import_in_a_fresh_process(module)["loaded"]
    assert module in loaded
    assert [name for name in HEAVY if name in loaded] == []
