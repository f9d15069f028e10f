"""DDP: every preset trains, and what is measured by two processes is what one measures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam_ft.data.splits import DataSplits
from sam_ft.lightning import Monitoring, Recipe, fit
from sam_ft.losses import recipes as losses
from sam_ft.models.sam.model import Sam
from sam_ft.prompts import presets
from tests.lightning.conftest import trainer

PRESETS = ("sam_paper", "sam2", "medsam", "micro_sam", "sam_med2d", "box_only", "points_only", "mask_refine")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Lightning writes ranks and ports into the environment, where processes of later tests would find them."""
    before = dict(os.environ)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains_in_ddp(
    name: str, tiny_model: Callable[..., Sam], recipe: Callable[..., Recipe], splits: DataSplits, tmp_path: Path
) -> None:
    """A round that asks for one mask of four leaves the weights of the others without a gradient."""
    result = fit(
        tiny_model(),
        splits,
        output=tmp_path / "run",
        recipe=replace(recipe(), prompts=getattr(presets, name)(), loss=losses.sam_loss()),
        monitoring=Monitoring(wandb="disabled", pictures=0, clicks=(1,)),
        trainer=trainer(strategy="ddp", max_steps=3),
    )
    assert result.num_steps == 3


SCRIPT = """
import sys
from sam_ft.data.synthetic import Synthetic
from sam_ft.lightning import Monitoring, fit
from tests.lightning.conftest import _model, _recipe, trainer

output, devices = sys.argv[1:]
fit(
    _model(),
    Synthetic.splits(4, num_val=5, image_size=64),
    output=output,
    recipe=_recipe(lr=1e-12, batch_size=1),
    monitoring=Monitoring(wandb="disabled", pictures=0),
    trainer=trainer(devices=int(devices), max_steps=2),
)
"""


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    """Five images for two processes: none is counted twice to fill up the last batch."""
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    measured = []
    for devices in ("1", "2"):
        command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / devices), devices]
        done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        with (tmp_path / devices / "metrics.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["val/miou@1"]]
        measured.append({name: float(value) for name, value in rows[-1].items() if name.startswith("val/")})
    one, two = measured
    assert len(one) >= 4 and two == pytest.approx(one, abs=1e-6)
