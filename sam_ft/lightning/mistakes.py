"""A mistake of the user in one line, in the words of this project instead of Hydra's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from sam_ft.checks import expect_whole_number

USER_ERRORS = (ValueError, HydraException, OmegaConfBaseException, MisconfigurationException)
"""What a mistake of the user is raised as; everything else is a mistake of ours and keeps its traceback."""

SECOND_CHOICES = {"other": "data@other"}
"""Settings that a second choice out of a group of configs fills, and how that choice is written."""


def explain(err: BaseException, *, config_folder: Path | None = None) -> str:
    """One line that says what is wrong; an unknown name comes with the known ones that are like it.

    Args:
        err: one of `USER_ERRORS`, perhaps inside what Hydra wraps around it.
        config_folder: where the groups of configs are, for a setting of a group that is not chosen yet.
    """
    err = _cause(err)
    if isinstance(err, MissingConfigException) and err.missing_cfg_file and err.options:
        group, _, name = err.missing_cfg_file.removesuffix(".yaml").rpartition("/")
        text = f"Expected `{group}` to be one of {', '.join(err.options)}, but got '{name}'.{_like(name, err.options)}"
    elif isinstance(err, (ConfigAttributeError, ConfigKeyError)) and err.full_key:
        text = _unknown_setting(err, config_folder)
    elif isinstance(err, OverrideParseException):
        text = f"Expected overrides such as name=value, but got {err.override!r}: {err.message.splitlines()[0]}."
    elif isinstance(err, InstantiationException):
        text = str(err).replace("full_key:", "in the settings of")
    else:
        text = _raised_by_worker(str(err)) or str(err)
    return " ".join(text.split())


def refuse_missing(config: DictConfig) -> None:
    """Name every setting that has no value yet, before any work is done.

    Raises:
        ValueError: if there is one.
    """
    if missing := sorted(OmegaConf.missing_keys(config)):
        given = " ".join(f"{key}=..." for key in missing)
        raise ValueError(f"Expected a value for {' and '.join(missing)}, but got none: add {given}")


def whole_number(config: DictConfig, key: str, *, least: int) -> int:
    """The setting `key`, such as `model.image_size`.

    Raises:
        ValueError: if it is no whole number of at least `least`.
    """
    return expect_whole_number(key, OmegaConf.select(config, key), least=least)


def _cause(err: BaseException) -> BaseException:
    """The user's mistake inside what Hydra wraps around it."""
    while isinstance(err, HydraException) and isinstance(err.__cause__, USER_ERRORS):
        err = err.__cause__
    return err


def _unknown_setting(err: OmegaConfBaseException, config_folder: Path | None) -> str:
    """A typo in an override: the settings beside it, or those of that name elsewhere, that it may have meant."""
    full_key = str(err.full_key)
    choice = SECOND_CHOICES.get(full_key, full_key)
    group = config_folder / choice.partition("@")[0] if config_folder is not None else None
    if group is not None and group.is_dir():
        options = sorted(path.stem for path in group.glob("*.yaml"))
        hint = f"add {choice}=NAME, one of {', '.join(options)}."
        if _root_of(err).get("resume") is not None:
            hint += " A run is resumed by its whole command, with resume=... beside it."
        return f"Expected a choice of `{choice}`, but got none: {hint}"
    folder, _, name = full_key.rpartition(".")
    siblings = _keys(err.parent_node)
    known = [f"{folder}.{key}" if folder else key for key in siblings]
    elsewhere = [key for key in _settings(_root_of(err)) if key.rpartition(".")[2] == name]
    hint = _like(full_key, known) or _like_one_of(elsewhere)
    if not hint:
        of = f" of `{folder}`" if folder else ""
        hint = f" Known{of}: {', '.join(siblings if folder else known)}."
    if folder == "trainer":
        hint += f" Another argument of Lightning's Trainer is added by +{full_key}=..."
    return f"Expected the name of a setting, but got `{full_key}`.{hint}"


def _root_of(err: OmegaConfBaseException) -> DictConfig:
    """The whole config in which something is wrong; empty where that is not known."""
    root = err.parent_node._get_root() if err.parent_node is not None else None
    return root if isinstance(root, DictConfig) else DictConfig({})


def _settings(config: object, prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings of a program."""
    for key in _keys(config):
        yield f"{prefix}{key}"
        if isinstance(config, DictConfig):
            yield from _settings(config._get_node(key), f"{prefix}{key}.")


def _keys(config: object) -> list[str]:
    """The names of the settings in a part of a config, without Hydra's own."""
    keys = map(str, config) if isinstance(config, DictConfig) and not config._is_none() else []
    return [key for key in keys if key != "hydra" and not key.startswith("_")]


def _like(name: str, known: Sequence[str]) -> str:
    return _like_one_of(difflib.get_close_matches(name, known, n=2, cutoff=0.7))


def _like_one_of(names: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(f'`{name}`' for name in names)}?" if names else ""


def _raised_by_worker(text: str) -> str | None:
    """The error itself, of one that a worker of a data loader sends with its whole traceback."""
    found = re.match(r"Caught (\w+) in DataLoader worker.*\n\1: (.*)", text, flags=re.DOTALL)
    return None if found is None else found[2]
