"""What the Hydra programs share: one clear line for a user's mistake, quiet libraries, objects from a config."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import hydra
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from sam_ft.checkpoints import load_model
from sam_ft.checks import expect_bool
from sam_ft.data.splits import DataSplits, SampleDataset
from sam_ft.host_memory import keep_freed_memory
from sam_ft.lightning.interrupting import TrainingInterrupted
from sam_ft.lightning.mistakes import USER_ERRORS, explain, refuse_missing, whole_number
from sam_ft.lightning.module import CONFIG_KEY
from sam_ft.models.adapt.choices import adapt
from sam_ft.models.sam.drawn_prompts import draw_prompts
from sam_ft.models.sam.model import Sam
from sam_ft.models.sam.variants import build_model, variant_of

TRACEBACK_VARIABLE = "SAM_FT_TRACEBACK"
"""Set to 1, it shows where a user's mistake was noticed."""

PARTS = ("train", "val", "test")

_INTERRUPTED = 128 + signal.SIGINT
"""The exit code of programs that Ctrl-C ended."""

_RUN_NAME_VARIABLE = "SAM_FT_RUN_NAME"
"""How a program tells the processes that Lightning starts for further devices where to write."""


def run(task: Callable[[DictConfig], None], *, config_folder: Path, config_name: str) -> None:
    """Run a Hydra program; a mistake of the user becomes one line on stderr and exit code 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints the error itself and exits with 1
    quiet_libraries()
    keep_freed_memory()

    @functools.wraps(task)
    def checked(config: DictConfig) -> None:
        try:
            refuse_missing(config)
            task(config)
        except TrainingInterrupted as stop:
            sys.stderr.write(f"{stop}\n")
            raise SystemExit(_INTERRUPTED) from None
        except KeyboardInterrupt as stop:
            exit_interrupted(stop)
        except USER_ERRORS as err:  # caught inside, since Hydra would print all overrides first
            exit_with(err, config_folder=config_folder)

    try:
        hydra.main(version_base="1.3", config_path=str(config_folder), config_name=config_name)(checked)()
    except KeyboardInterrupt as stop:  # before the task
        exit_interrupted(stop)
    except USER_ERRORS as err:
        exit_with(err, config_folder=config_folder)


def exit_interrupted(stop: KeyboardInterrupt) -> NoReturn:
    """Leave after Ctrl-C with one line: what the program has to say of it, if anything.

    Raises:
        SystemExit: always, unless `SAM_FT_TRACEBACK` asks for the interruption itself.
    """
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        raise stop
    sys.stderr.write(f"\nInterrupted. {stop}".rstrip() + "\n")
    raise SystemExit(_INTERRUPTED) from None


def exit_with(err: BaseException, *, config_folder: Path | None = None) -> NoReturn:
    """Say what is wrong in one line and leave with exit code 2.

    Raises:
        SystemExit: always, unless `SAM_FT_TRACEBACK` asks for the error itself.
    """
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        raise err
    sys.stderr.write(f"sam-ft: {explain(err, config_folder=config_folder)}\n")
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
        ".*LeafSpec.*",
        ".*resuming from a checkpoint that ended before the epoch ended.*",  # the data module goes on where it was
    ):
        warnings.filterwarnings("ignore", message=noise)


def model_of(config: DictConfig) -> Sam:
    """The model of a `model` and an `adapt` config: its size, its starting weights, what of it is trained."""
    torch.manual_seed(whole_number(config, "seed", least=0))
    image_size = None if config.model.image_size is None else whole_number(config, "model.image_size", least=1)
    if config.model.weights is None:
        model = build_model(config.model.name, image_size=image_size)
    else:
        model = load_model(config.model.weights, image_size=image_size)
        _expect_size(model, config.model.name, weights=config.model.weights)
    if expect_bool("model.drawn_prompts", config.model.drawn_prompts):
        draw_prompts(model)
    model.image_encoder.set_drop_path(config.model.drop_path)
    if isinstance(config.adapt, str):  # an experiment may say `adapt: decoder`
        adapt(model, config.adapt)
    else:
        instantiate(config.adapt)(model)
    return model


def _expect_size(model: Sam, name: str | None, *, weights: str) -> None:
    """Refuse weights of another size than `model=NAME` says; None takes any.

    Raises:
        ValueError: They are; their own size is named.
    """
    own = variant_of(model)
    if name not in (None, own):
        hint = f"model={own}" if own else "model.name=null, since their size has no name"
        raise ValueError(f"Expected weights of {name}, but {weights} has another size: give {hint}.")


def data_of(config: DictConfig) -> DataSplits:
    """The data set of a `data` config."""
    splits = instantiate(config)
    if not isinstance(splits, DataSplits):
        raise ValueError(f"Expected data._target_ to build DataSplits, but got {type(splits).__name__}.")
    return splits


def part_of(config: DictConfig, part: str, *, setting: str = "part") -> SampleDataset:
    """One part of the data set of a `data` config.

    Raises:
        ValueError: The data set has no such part; those it has are listed. `setting` is the name that the user gave.
    """
    if part not in PARTS:
        raise ValueError(f"Expected `{setting}` to be one of {', '.join(PARTS)}, but got {part!r}.")
    splits = data_of(config)
    samples = getattr(splits, part)
    if samples is None:
        held = [name for name in PARTS if getattr(splits, name) is not None]
        raise ValueError(f"Expected `{setting}` to be one that the data set has ({', '.join(held)}), but got {part}.")
    return samples


def folder_to_write(output: str) -> Path:
    """The folder of a report.

    Raises:
        ValueError: It is a file.
    """
    if Path(output).exists() and not Path(output).is_dir():
        raise ValueError(f"Expected a folder to write to, but {output} is a file.")
    return Path(output)


def clicks_of(config: DictConfig) -> tuple[int, ...]:
    """After which numbers of clicks to measure.

    Raises:
        ValueError: They are no list of whole numbers above 0.
    """
    clicks = OmegaConf.to_container(config.clicks) if isinstance(config.clicks, ListConfig) else None
    if not isinstance(clicks, list) or not all(isinstance(count, int) and count > 0 for count in clicks):
        raise ValueError(f"Expected `clicks` to be whole numbers above 0 such as [1, 3, 5], but got {config.clicks}.")
    return tuple(clicks)


def config_of(checkpoint: str | Path) -> dict[str, Any]:
    """The config of the run that wrote a checkpoint: from inside it, or from the `config.yaml` beside it.

    Raises:
        ValueError: if there is neither, or it is not about data.
    """
    checkpoint = Path(checkpoint)
    if not checkpoint.exists():
        raise ValueError(f"Expected a checkpoint at {checkpoint}, but nothing is there.")
    config: Any = None
    if checkpoint.suffix == ".ckpt":
        config = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True).get(CONFIG_KEY)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if not config and (folder / "config.yaml").is_file():
        config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=True)
    if not isinstance(config, dict) or "data" not in config:
        raise ValueError(
            f"Expected the config of a training in {checkpoint} or in {folder / 'config.yaml'}, but found none: "
            "say what to measure on, such as data=nifti data.images=... data.labels=..."
        )
    return config


def output_of(config: DictConfig) -> Path:
    """`output`; else the folder of the checkpoint to resume from; else a new one, named by the time.

    The processes that Lightning starts beside the first one for further devices take the first one's folder.
    """
    if config.output is not None:
        return Path(config.output)
    if config.resume is not None:
        return Path(config.resume).parent
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    if "LOCAL_RANK" in os.environ:
        name = os.environ.get(_RUN_NAME_VARIABLE, name)
    os.environ[_RUN_NAME_VARIABLE] = name
    return Path("runs", "fit", name)


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as dicts, lists and numbers, all references resolved."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
