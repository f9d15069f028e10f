"""Runs `sam-ft` in this process, since its imports take longer than these tests."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from sam_ft import cli

SYNTHETIC = [
    "data=synthetic",
    "data.num_train=2",
    "data.num_val=1",
    "data.num_test=2",
    "data.image_size=64",
    "model.image_size=64",
    "prompts.num_clicks=1",
    "prompts.num_mask_only=0",
    "trainer.accelerator=cpu",
    "trainer.max_steps=1",
    "trainer.val_check_interval=1",
    "monitoring.wandb=disabled",
    "monitoring.pictures=1",
]


@dataclass(frozen=True)
class Result:
    """How a program ended and what it said."""

    code: int | str | None
    out: str
    err: str


def run(capture: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """`sam-ft ARGUMENTS` in the working folder."""
    capture.readouterr()
    code: int | str | None
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        code = leaving.code
    finally:
        GlobalHydra.instance().clear()
    said = capture.readouterr()
    return Result(code=code or 0, out=said.out, err=said.err)


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Programs set up logging, the arguments and the environment for a process of their own."""
    root, levels = logging.getLogger(), {}
    handlers, level, environment, arguments = root.handlers[:], root.level, dict(os.environ), sys.argv
    levels = {name: logging.getLogger(name).level for name in ("pytorch_lightning", "lightning.pytorch", "matplotlib")}
    yield
    root.handlers[:], sys.argv = handlers, arguments
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def sam_ft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _as_before: None
) -> Callable[..., Result]:
    """Calls `sam-ft` with these arguments in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAM_FT_TRACEBACK", raising=False)
    return lambda *arguments: run(capsys, *arguments)


@pytest.fixture
def synthetic() -> list[str]:
    """Overrides of a training of one step without files."""
    return SYNTHETIC


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Six images of one square each."""
    pixels = np.pad(np.ones((20, 20), dtype=np.uint8), 10)
    for kind, value in (("images", 200), ("labels", 1)):
        (tmp_path / "cells" / kind).mkdir(parents=True)
        for name in "abcdef":
            Image.fromarray(pixels * value).save(tmp_path / "cells" / kind / f"{name}.png")
    return tmp_path / "cells"
