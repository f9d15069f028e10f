"""`sam-ft COMMAND [overrides]`: finds the program of a command and runs it.

The programs live in `train/` and the configs in `configs/`: beside the package in a checkout, inside it once
installed. Nothing heavy is imported here, so that help and typing errors answer at once.
"""

from __future__ import annotations

import difflib
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """What the table knows of a command: its program in `train/` and one line of help."""

    program: str
    help: str


COMMANDS = {
    "demo": Command("demo.py", "fine-tune a small model on a real MRI volume and show what it gained"),
    "prepare": Command("prepare.py", "fetch a public data set and lay it out for fit: sam-ft prepare nuclei"),
    "doctor": Command("doctor.py", "what is wrong with a data set, and what to set: sam-ft doctor data=... output=..."),
    "fit": Command("fit.py", "fine-tune a model: sam-ft fit data=nifti data.images=... data.labels=..."),
    "evaluate": Command("evaluate.py", "measure a model: sam-ft evaluate checkpoint=... output=..."),
    "compare": Command("compare.py", "two evaluations of the same masks: sam-ft compare A B --output FOLDER"),
    "table": Command("table.py", "several evaluations in one table: sam-ft table NAME=FOLDER NAME=FOLDER ..."),
    "forgetting": Command(
        "forgetting.py", "what a fine-tuning gained and lost: sam-ft forgetting after=... output=..."
    ),
}


@contextmanager
def mistakes_in_one_line() -> Iterator[None]:
    """A mistake of the user inside becomes one line on stderr and exit code 2, for programs without Hydra.

    Raises:
        SystemExit: there was one.
    """
    try:
        yield
    except (ValueError, OSError) as err:
        sys.stderr.write(f"sam-ft: {' '.join(str(err).split())}\n")
        raise SystemExit(2) from err


def find_folder(name: str) -> Path:
    """The folder `name` that comes with the library, inside the installed package or beside it in a checkout.

    Raises:
        ValueError: if neither place has it.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ValueError(f"Expected a folder `{name}` in {package} or {package.parent}, but found none: reinstall sam-ft.")


def find_configs() -> Path:
    """The folder of the Hydra configs."""
    return find_folder("configs")


def find_program(command: str) -> Path:
    """The program file of a command.

    Raises:
        ValueError: if the table does not know the command, or its file is missing.
    """
    if command not in COMMANDS:
        nearest = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean `{nearest[0]}`?" if nearest else ""
        raise ValueError(f"Expected a command out of {', '.join(COMMANDS)}, but got `{command}`.{hint}")
    path = find_folder("train") / COMMANDS[command].program
    if not path.is_file():
        raise ValueError(f"Expected the program of `{command}` at {path}, but found none: reinstall sam-ft.")
    return path


def usage() -> str:
    """The help text: how to call, and one line per command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: sam-ft COMMAND [overrides]",
            "",
            "commands:",
            *lines,
            "",
            "`sam-ft COMMAND --help` tells what a command takes.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sam-ft` with `arguments`, those of the command line by default; return the exit code.

    The program runs in this process as `__main__`, with `sys.argv` as if it had been called by its path. It may leave
    through SystemExit with an exit code of its own.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"sam-ft {version('sam-ft')}")
        return 0
    if list(arguments[:2]) in (["evaluate", "compare"], ["evaluate", "table"]):
        arguments = arguments[1:]
    try:
        program = find_program(arguments[0])
    except ValueError as err:
        print(f"sam-ft: {err}", file=sys.stderr)
        return 2
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # albumentations asks the network at import otherwise
    sys.argv = [str(program), *arguments[1:]]
    runpy.run_path(str(program), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
