"""The config of a training that suits a data set, as a file with comments that `sam-ft fit` runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_ft.doctor.advice import Setting
from sam_ft.files import atomic_write

NAME = "experiment"


@dataclass(frozen=True)
class Choice:
    """What the user chose of a config group.

    Attributes:
        group: with the package that it is composed into, where that is another one, such as data@data.sets.cells.
        name: the chosen config; None for none.
        is_added: whether the group is one that the program's own defaults lack (`+data@data.sets.cells=image_mask`).
    """

    group: str
    name: str | None
    is_added: bool = False

    def __str__(self) -> str:
        override = "" if self.is_added else "override "
        return f"{override}/{self.group}: {'null' if self.name is None else self.name}"


def experiment_command(folder: Path) -> str:
    """What runs the file."""
    return f"sam-ft fit --config-dir {folder} --config-name {NAME}"


def experiment_yaml(
    choices: Sequence[Choice],
    values: Mapping[str, Any],
    settings: Sequence[Setting],
    *,
    head: Sequence[str],
) -> str:
    """The file's text.

    Args:
        choices: config groups and what the user chose of them.
        values: dotted names and values that the user gave.
        settings: what is suggested beside these.
        head: lines of comment at the top.
    """
    lines = [f"# {line}".rstrip() for line in head]
    lines += ["defaults:", "  - fit"]
    lines += [
        f"  - {choice}" for choice in sorted(choices, key=lambda choice: not choice.is_added)
    ]  # as Hydra wants it
    lines += ["  - _self_", ""]
    reasons = {setting.key: setting.reason for setting in settings}
    tree: dict[str, Any] = {}
    for key, value in {**values, **{setting.key: setting.value for setting in settings}}.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return "\n".join([*lines, *_nested(tree, reasons)]) + "\n"


def write_experiment(path: Path, text: str) -> None:
    """Write the file, at once."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _nested(tree: Mapping[str, Any], reasons: Mapping[str, str], *, prefix: str = "") -> Iterator[str]:
    """Lines of YAML; values in the notation of JSON, which is YAML too."""
    indent = "  " * prefix.count(".")
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from _nested(value, reasons, prefix=f"{name}.")
        else:
            comment = f"  # {reasons[name]}" if name in reasons else ""
            yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}{comment}"
