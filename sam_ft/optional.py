"""Packages that only some users need: the module, or one clear error."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingPackageError(ImportError, ValueError):
    """An optional package is not installed. Being a ValueError too, it becomes one line and exit code 2."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, such as `require("nilearn", extra="demo")`.

    Args:
        module: the module's import name, dotted for a submodule.
        extra: the extra of sam-ft that installs it.

    Raises:
        MissingPackageError: if the package is not installed; the message says which command installs it.
        ModuleNotFoundError: if the package is installed but lacks a package of its own.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        if err.name is None or not f"{module}.".startswith(f"{err.name}."):
            raise
        raise MissingPackageError(
            f"Expected the package `{module.partition('.')[0]}` to provide `{module}`, but `{err.name}` is not "
            f'installed: pip install "sam-ft[{extra}]", in a checkout with -c constraints.txt.',
            name=err.name,
        ) from err
