"""What the Hydra programs share: one clear line for a user's mistake, quiet libraries, objects from a config."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sam_ft.checkpoints import load_model
from sam_ft.data.splits import DataSplits
from sam_ft.lightning.module import CONFIG_KEY
from sam_ft.models.adapt.freeze import adapt
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model

TRACEBACK_VARIABLE = "SAM_FT_TRACEBACK"
"""Set to 1, it shows where a user's mistake was noticed."""

_USER_ERRORS = (ValueError, HydraException, OmegaConfBaseException)


def run(task: Callable[[DictConfig], None], *, config_folder: Path, config_name: str) -> None:
    """Run a Hydra program; a mistake of the user becomes one line on stderr and exit code 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints the error itself and exits with 1
    quiet_libraries()
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder), config_name=config_name)(task)()
    except _USER_ERRORS as err:
        exit_with(err)


def exit_with(err: BaseException) -> NoReturn:
    """Say what is wrong in one line and leave with exit code 2.

    Raises:
        SystemExit: always.
    """
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        raise err
    print_line = " ".join(str(_cause(err)).split())
    sys.stderr.write(f"sam-ft: {print_line}\n")
    raise SystemExit(2)


def quiet_libraries() -> None:
    """Keep what Lightning and others say about themselves out of the user's sight."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "matplotlib", "fsspec", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for noise in (
        ".*does not have many workers.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*The number of training batches .* is smaller than the logging interval.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
        ".*LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", message=noise)


def model_of(config: DictConfig) -> Sam:
    """The model of a `model` config: its size, its starting weights, which parts are trained."""
    if config.model.weights is None:
        torch.manual_seed(config.seed)
        model = build_model(config.model.name, image_size=config.model.image_size)
    else:
        model = load_model(config.model.weights, image_size=config.model.image_size)
    adapt(model, config.adapt)
    return model


def data_of(config: DictConfig) -> DataSplits:
    """The data set of a `data` config."""
    splits = instantiate(config)
    if not isinstance(splits, DataSplits):
        raise ValueError(f"Expected data._target_ to build DataSplits, but got {type(splits).__name__}.")
    return splits


def config_of(checkpoint: str | Path) -> dict[str, Any]:
    """The config of the run that wrote a checkpoint: from inside it, or from the `config.yaml` beside it.

    Raises:
        ValueError: if there is neither.
    """
    checkpoint = Path(checkpoint)
    if checkpoint.suffix == ".ckpt":
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        if content.get(CONFIG_KEY):
            return content[CONFIG_KEY]
    beside = checkpoint.parent / "config.yaml"
    if not beside.is_file():
        raise ValueError(
            f"Expected the config of the training in {checkpoint} or in {beside}, but found none: "
            "say what to measure on, such as data=nifti data.images=... data.labels=..."
        )
    return OmegaConf.to_container(OmegaConf.load(beside), resolve=True)  # type: ignore[return-value]


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as dicts, lists and numbers, all references resolved."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def _cause(err: BaseException) -> BaseException:
    """The user's mistake inside what Hydra wraps around it."""
    while isinstance(err, HydraException) and isinstance(err.__cause__, _USER_ERRORS):
        err = err.__cause__
    return err
