"""`sam-ft prepare`: fetch a public data set and lay it out as the `data` configs read it; without a name, list them.

A download goes on where it broke off, a preparation where it stopped, and a finished one is taken as it is. Files that
you have already are given by --source: the published archives, a folder that holds them, or what they unpack to.
"""

from __future__ import annotations

import argparse
import logging
import runpy
import sys
import textwrap
from pathlib import Path

from sam_ft.cli import find_folder, mistakes_in_one_line
from sam_ft.data.preparing.preparation import DOWNLOADS, Order, prepare
from sam_ft.data.preparing.recipe import Recipe
from sam_ft.data.preparing.record import Record

FILES = (
    "acdc.py",
    "brain_icbm152.py",
    "camvid.py",
    "coco_val2017.py",
    "davis2017.py",
    "drive.py",
    "kvasir_seg.py",
    "livecell.py",
    "msd.py",
    "nuclei.py",
    "sa1b.py",
    "trashcan.py",
)
"""The recipes, in `datasets/`; each file defines RECIPES."""


def load_recipes() -> dict[str, Recipe]:
    """All recipes by name."""
    folder = find_folder("datasets")
    recipes = [recipe for file in FILES for recipe in runpy.run_path(str(folder / file))["RECIPES"]]
    return {recipe.name: recipe for recipe in recipes}


def listing(recipes: dict[str, Recipe]) -> str:
    """The recipes as a table: name, download, licence, what it is."""
    rows = [(name, download_of(recipe), recipe.licence, recipe.title) for name, recipe in recipes.items()]
    rows.insert(0, ("name", "download", "licence", "what it is"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return "\n".join([*lines, "", "sam-ft prepare NAME makes one ready in data/NAME; docs/datasets.md tells more."])


def download_of(recipe: Recipe) -> str:
    """How much is fetched, or that its user has to fetch it."""
    if recipe.by_hand:
        return "by hand"
    return size_of(recipe.download_mb) if recipe.files else "none"


def size_of(megabytes: float) -> str:
    """Such as 46 MB or 1.6 GB."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def choose(recipes: dict[str, Recipe], name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        ValueError: There is none; the nearest names are said.
    """
    if name not in recipes:
        import difflib

        near = difflib.get_close_matches(name, recipes, n=2) or [known for known in recipes if name.lower() in known]
        hint = f" Did you mean {' or '.join(near[:3])}?" if near else ""
        raise ValueError(f"Expected one of {', '.join(recipes)}, but got {name}.{hint}")
    return recipes[name]


def closing_words(record: Record) -> str:
    """What is where now, and the command to go on with."""
    parts = [
        f"  {part:<6} {', '.join(f'{number:,} {what}' for what, number in held.items())}"
        for part, held in record.counts.items()
    ]
    downloads = record.folder / DOWNLOADS
    done = "Prepared in" if record.is_new else "Nothing to do: it is prepared already in"
    return "\n".join(
        [
            f"{done} {record.folder}:",
            *parts,
            f"Licence: {record.content['licence']}",
            *([f"{downloads} may be deleted now."] if downloads.is_dir() else []),
            f"Go on with: {record.fit_command}",
        ]
    )


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    description, details = (__doc__ or "").split("\n\n")
    made = argparse.ArgumentParser(
        prog="sam-ft prepare", description=textwrap.fill(description.replace("\n", " "), 100), epilog=details
    )
    made.add_argument("name", nargs="?", help="which data set; without it they are listed")
    made.add_argument("--output", type=Path, metavar="FOLDER", help="where to prepare it; by default data/NAME")
    made.add_argument(
        "--source", type=Path, nargs="+", default=[], metavar="PATH", help="archives or folders that you have already"
    )
    made.add_argument("--limit", type=int, metavar="N", help="at most N images or volumes of each part")
    return made


def run(arguments: argparse.Namespace) -> None:
    """List, or prepare and say what came out."""
    recipes = load_recipes()
    if arguments.name is None:
        print(listing(recipes))
        return
    recipe = choose(recipes, arguments.name)
    order = Order(
        output=arguments.output or Path("data", recipe.name), sources=tuple(arguments.source), limit=arguments.limit
    )
    print(f"{recipe.title}\nLicence: {recipe.licence}\n{recipe.homepage}\n")
    print(closing_words(prepare(recipe, order)))


def main() -> None:
    """The program."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    arguments = parser().parse_args()
    try:
        with mistakes_in_one_line():
            run(arguments)
    except KeyboardInterrupt as err:
        sys.stderr.write("Stopped. The same command goes on from here.\n")
        raise SystemExit(130) from err


if __name__ == "__main__":
    main()
