"""`sam-ft table NAME=FOLDER NAME=FOLDER ...`: evaluations of several models on the same images as one table.

A FOLDER is what `sam-ft evaluate` wrote, or a pattern such as `"folds/*/unet"`. A name with several folders, which may
also be given one by one, is a model measured on several folds: its figures are the means over them. Evaluations of
other images are refused. `sam-ft evaluate table ...` does the same.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from sam_ft.cli import mistakes_in_one_line
from sam_ft.evaluation.comparing.rows import read_row
from sam_ft.evaluation.comparing.table import join
from sam_ft.pages.tables import markdown


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    description, details = (__doc__ or "").split("\n\n")
    made = argparse.ArgumentParser(
        prog="sam-ft table", description=textwrap.fill(description.replace("\n", " "), 100), epilog=details
    )
    made.add_argument("evaluations", nargs="+", metavar="NAME=FOLDER", help="what a row is called and where it lies")
    made.add_argument(
        "--figures", metavar="A,B", help="the columns, by their names in summary.json; all that are shared by default"
    )
    made.add_argument("--output", type=Path, metavar="FOLDER", help="where to write table.md, .tex and .json")
    return made


def named_folders(evaluations: Sequence[str]) -> dict[str, list[str]]:
    """Name -> its folders, in the order of the command line.

    Raises:
        ValueError: An argument is no NAME=FOLDER, or is meant as an option, or a pattern fits no folder.
    """
    found: dict[str, list[str]] = {}
    for argument in evaluations:
        name, _, folder = argument.partition("=")
        if not (name and folder):
            raise ValueError(f"Expected NAME=FOLDER such as unet=runs/measured/unet, but got {argument!r}.")
        if name in ("output", "figures"):
            raise ValueError(
                f"Expected no model of the name {name}: where to write is --output, the columns --figures."
            )
        folders = [folder] if Path(folder).exists() else sorted(glob(folder))
        if not folders:
            raise ValueError(f"Expected the folder of an evaluation at {folder}, but nothing is there.")
        found.setdefault(name, []).extend(folders)
    return found


def run(arguments: argparse.Namespace) -> None:
    """Join, print, write."""
    rows = [read_row(name, folders) for name, folders in named_folders(arguments.evaluations).items()]
    joined = join(rows, figures=arguments.figures.split(",") if arguments.figures else None)
    print(markdown(joined.table), end="")
    if arguments.output is not None:
        joined.write(arguments.output)
        print(f"\nWritten to {arguments.output}: table.md, table.tex, table.json")


def main() -> None:
    """The program."""
    arguments = parser().parse_args()
    with mistakes_in_one_line():
        run(arguments)


if __name__ == "__main__":
    main()
