"""`sam-ft doctor`: what is wrong with a data set, and what to set. The settings are in configs/doctor.yaml."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from sam_ft.checks import expect_bool
from sam_ft.cli import find_configs
from sam_ft.data.boundaries import boundary_splits
from sam_ft.data.mixture import mixture_splits
from sam_ft.data.splits import DataSplits
from sam_ft.doctor.advice import Known, Setting, advice_for
from sam_ft.doctor.examination import Examination, Plan, examine, with_finding
from sam_ft.doctor.experiment import Choice, experiment_command, experiment_yaml, write_experiment
from sam_ft.doctor.findings import Severity, refusal
from sam_ft.doctor.inventory.listing import inventory_of
from sam_ft.doctor.page import doctor_page
from sam_ft.doctor.report import as_json, described, summary_lines, verdict
from sam_ft.files import write_json
from sam_ft.lightning import program, tasks
from sam_ft.lightning.memory.advice import memory_report
from sam_ft.lightning.mistakes import whole_number
from sam_ft.lightning.step_time import step_seconds
from sam_ft.pages.html import write_page

_logger = logging.getLogger("sam_ft.doctor")

OWN_SETTINGS = ("output", "limit", "group", "pictures", "measure", "resume")
"""Settings that say nothing about a training."""
OF_OTHERS = (mixture_splits, boundary_splits)
"""Data sets that are made of others, which Hydra builds first."""
WEIGHTS = "vit_tiny_phantoms"
"""Weights of vit_tiny that come with the package."""


def doctor(config: DictConfig) -> None:
    """Look at the data, say what is wrong, write the page and the experiment."""
    output = program.folder_to_write(config.output)
    plan = plan_of(config)
    expect_bool("measure", config.measure)
    if "data" not in config or config.data is None:
        raise ValueError("Expected a data set to look at, but got none: add data=NAME and its settings.")
    build = builder_of(config.data)
    inventory = inventory_of(build)
    total = min(len(inventory.cases), plan.limit)
    interval = 0.5 if sys.stderr.isatty() else 15
    with tqdm(total=total, desc="looking", unit="case", mininterval=interval, dynamic_ncols=True) as bar:
        examination = examine(inventory, plan, on_case=lambda: bar.update())
    examination, data = built(examination, build)
    choices, given = what_was_given(config)
    settings = suggestions(examination, config, given=[*(choice.group for choice in choices), *given])
    suited = with_settings(config, settings)
    cost = cost_of(suited, data) if config.measure and data is not None else []
    text = experiment_yaml(choices, given, settings, head=head_of(examination, output))
    write_experiment(output / "experiment.yaml", text)
    command = shlex.join(["sam-ft", "doctor", *sys.argv[1:]])
    about = {"command": command, "data": program.plain(config.data), "cost": dict(cost)}
    write_json(output / "doctor.json", as_json(examination, settings, about=about))
    page = doctor_page(
        examination,
        settings,
        title=f"A look at {name_of(config.data)}",
        image_size=suited.model.image_size,
        cost=cost,
        command=command,
        folder=output,
    )
    write_page(output / "index.html", page)
    for line in [*summary_lines(examination, settings), "", *(f"{name}: {value}" for name, value in cost)]:
        _logger.info("%s", line)
    _logger.info("\nWritten to %s: index.html, doctor.json, experiment.yaml", output)
    has_errors = any(finding.severity == Severity.ERROR for finding in examination.findings)
    _logger.info("%s: %s", "Repair the errors, then train" if has_errors else "Train", experiment_command(output))
    if has_errors:
        raise SystemExit(1)


def builder_of(data: DictConfig) -> partial[DataSplits]:
    """What builds the data set: its function with the arguments, or, of one made of others, all of them together."""
    if get_method(data._target_) in OF_OTHERS:
        return partial(built_of_others, data)
    build: partial[DataSplits] = instantiate(data, _partial_=True)
    return build


def built_of_others(data: DictConfig) -> DataSplits:
    """The data set and those that it is made of.

    Raises:
        ValueError: One of them is refused.
    """
    try:
        return program.data_of(data)
    except InstantiationException as err:  # Hydra's, around that of a set
        if isinstance(err.__cause__, ValueError):
            raise ValueError(str(err.__cause__)) from err
        raise


@contextmanager
def quiet_readers() -> Iterator[None]:
    """What the readers of data say and warn of is found by the checks, or is a finding already."""
    logger = logging.getLogger("sam_ft.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def plan_of(config: DictConfig) -> Plan:
    """How much is looked at."""
    return Plan(
        limit=whole_number(config, "limit", least=1),
        seed=whole_number(config, "seed", least=0),
        group=config.group,
        pictures=whole_number(config, "pictures", least=0),
        image_size=whole_number(config, "model.image_size", least=1),
        has_windows=config.loader.windows is not None,
    )


def built(examination: Examination, build: partial[DataSplits]) -> tuple[Examination, DataSplits | None]:
    """The data set as a training reads it; None where there are errors, or where it is refused, which is one more."""
    if any(finding.severity == Severity.ERROR for finding in examination.findings):
        return examination, None
    try:
        with quiet_readers():
            return examination, build()
    except ValueError as err:
        return with_finding(examination, refusal(err)), None


def what_was_given(config: DictConfig) -> tuple[list[Choice], dict[str, Any]]:
    """The choices of config groups and the settings that the user gave, without those of the doctor alone."""
    hydra = HydraConfig.get()
    choices: list[Choice] = []
    given: dict[str, Any] = {}
    for override in OverridesParser.create().parse_overrides(list(hydra.overrides.task)):
        key = override.key_or_group
        group = key if override.package is None else f"{key}@{override.package}"
        if group in hydra.runtime.choices:
            choices.append(Choice(group, hydra.runtime.choices[group], is_added=override.is_add()))
        elif key not in OWN_SETTINGS and not override.is_delete():
            value = OmegaConf.select(config, key)
            given[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return choices, given


def suggestions(examination: Examination, config: DictConfig, *, given: Sequence[str]) -> list[Setting]:
    """What suits the data set, and weights that come with the package where none are named."""
    is_tiny = config.model.name == "vit_tiny"
    known = Known(
        settings=set(settings_of(config)), given=given, image_size=config.model.image_size, may_resize=is_tiny
    )
    settings = advice_for(examination, known)
    if is_tiny and config.model.weights is None and config.task == "prompts" and "model.weights" not in given:
        settings.append(Setting("model.weights", WEIGHTS, "comes with the package and knows clicks and boxes"))
    return settings


def settings_of(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings."""
    for key in map(str, config):
        node = config._get_node(key)
        yield f"{prefix}{key}"
        if isinstance(node, DictConfig) and not node._is_none():
            yield from settings_of(node, f"{prefix}{key}.")


def with_settings(config: DictConfig, settings: Sequence[Setting]) -> DictConfig:
    """The config with what is suggested, to know what that costs; the weights do not matter for it."""
    changed = config.copy()
    for setting in settings:
        value = list(setting.value) if isinstance(setting.value, tuple) else setting.value
        OmegaConf.update(changed, setting.key, value)
    if changed.model.name is not None:
        changed.model.weights = None
    return changed


def cost_of(config: DictConfig, data: DataSplits) -> list[tuple[str, str]]:
    """The memory and the time of a training, as names and values."""
    task = tasks.TASKS[config.task]
    setup = tasks.setup_of(config, model=task.model_of(config, data), recipe=task.recipe_of(config))
    report = memory_report(setup, is_setting=lambda key: OmegaConf.select(config, key, default=None) is not None)
    seconds = step_seconds(setup, data)
    steps, images = config.trainer.max_steps, len(data.train)
    per_epoch = max(1, images // (setup.recipe.loader.batch_size * setup.num_batches))
    return [
        ("memory", report.removeprefix("memory: ")),
        ("time", f"about {as_duration(seconds)} a step on this {setup.device.type}, with what else it does just now"),
        (
            "training",
            f"{steps:,} steps, {steps / per_epoch:.1f} epochs of {images:,} images: {as_duration(seconds * steps)}",
        ),
    ]


def as_duration(seconds: float) -> str:
    """As people say it."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def head_of(examination: Examination, output: Path) -> list[str]:
    """The comment at the top of the experiment."""
    return [
        f"A training of what `sam-ft doctor` has looked at: {described(examination)}.",
        f"It found: {verdict(examination.findings)} See {output / 'index.html'}.",
        f"Paths start from {Path.cwd()}. There:",
        f"  {experiment_command(output)}",
    ]


def name_of(data: DictConfig) -> str:
    """What the data set may be called: its folder, its table, its pattern."""
    for key in ("root", "path"):
        if key in data:
            return Path(data[key]).name
    if "images" in data:
        pattern = data.images if isinstance(data.images, str) else data.images[0]
        return Path(pattern.partition("*")[0]).name or pattern
    return str(data._target_).rpartition(".")[2]


def main() -> None:
    """The program."""
    program.run(doctor, config_folder=find_configs(), config_name="doctor")


if __name__ == "__main__":
    main()
