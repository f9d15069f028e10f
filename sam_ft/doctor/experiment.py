"""The config of a training that suits a data set, as a file with comments that `sam-ft fit` runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam_ft.doctor.advice import Setting
from sam_ft.files import atomic_write

NAME = "experiment"


def experiment_command(folder: Path) -> str:
    """What runs the file."""
    return f"sam-ft fit --config-dir {folder} --config-name {NAME}"


def experiment_yaml(
    choices: Mapping[str, str | None],
    values: Mapping[str, Any],
    settings: Sequence[Setting],
    *,
    head: Sequence[str],
) -> str:
    """The file's text.

    Args:
        choices: config groups and what the user chose of them, such as data -> nifti, data/split -> slabs.
        values: dotted names and values that the user gave.
        settings: what is suggested beside these.
        head: lines of comment at the top.
    """
    lines = [f"# {line}".rstrip() for line in head]
    lines += ["defaults:", "  - fit"]
    lines += [f"  - override /{group}: {'null' if name is None else name}" for group, name in choices.items()]
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
