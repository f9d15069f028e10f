"""`sam-ft compare A B`: what a second model does better or worse than a first one, on the same masks.

A and B are folders that `sam-ft evaluate` wrote, or their files of records. Each mask is compared with itself; the
interval of the mean difference comes from drawing whole images. `sam-ft evaluate compare A B` does the same.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from pathlib import Path

from sam_ft.cli import mistakes_in_one_line
from sam_ft.evaluation.comparing.changes import Change
from sam_ft.evaluation.comparing.changes_shown import interval_of
from sam_ft.evaluation.comparing.page import comparing_page
from sam_ft.evaluation.comparing.pairs import ModelComparison, compare, pair
from sam_ft.evaluation.records.file import read_records
from sam_ft.pages.html import write_page
from sam_ft.pages.tables import signed


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    description, details = (__doc__ or "").split("\n\n")
    made = argparse.ArgumentParser(
        prog="sam-ft compare", description=textwrap.fill(description.replace("\n", " "), 100), epilog=details
    )
    made.add_argument("first", type=Path, metavar="A", help="folder or records of the first evaluation")
    made.add_argument("second", type=Path, metavar="B", help="folder or records of the second")
    made.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to write compare.json, .md, .tex and index.html"
    )
    return made


def names_of(first: Path, second: Path) -> tuple[str, str]:
    """What the two are called: the last parts of their paths, as many as it takes to tell them apart.

    Raises:
        ValueError: It is one path.
    """
    parts = [path.absolute().parts for path in (first, second)]
    if parts[0] == parts[1]:
        raise ValueError(f"Expected two evaluations, but got {first} twice.")
    count = 1
    while parts[0][-count:] == parts[1][-count:]:
        count += 1
    return "/".join(parts[0][-count:]), "/".join(parts[1][-count:])


def described(comparison: ModelComparison) -> str:
    """The differences for the console."""
    paired = comparison.paired
    first, second = paired.names
    lines = [f"{second} against {first}: mIoU of {first} -> {second}, the difference and its 95 % interval"]
    sections = {"": comparison.by_prompt, "By size": comparison.by_size, "By class": comparison.by_class}
    for heading, rows in sections.items():
        if heading and rows:
            lines.append(f"\n{heading}")
        width = max((len(name_of(row)) for row in rows), default=0)
        lines += [line_of(row, width=width) for row in rows]
    lines.append(f"\n{paired.about_clicks}")
    if paired.left_out:
        lines.append(f"Left out, since only one of the two has them: {', '.join(paired.left_out)}.")
    return "\n".join(lines)


def name_of(row: Change) -> str:
    """Of which objects, and how they were asked for."""
    return row.prompt if row.objects == "all" else f"{row.objects}, {row.prompt}"


def line_of(row: Change, *, width: int) -> str:
    """One difference."""
    values = f"{row.count:>7,} masks  {row.before:.3f} -> {row.after:.3f}  {signed(row.difference):>6}"
    return f"  {name_of(row):<{width}} {values}  {interval_of(row):<16}  {row.verdict}"


def run(arguments: argparse.Namespace) -> None:
    """Compare, say what came out, write it."""
    names = names_of(arguments.first, arguments.second)
    first, second = (read_records(path) for path in (arguments.first, arguments.second))
    comparison = compare(pair(first, second, names=names))
    print(described(comparison))
    if arguments.output is not None:
        comparison.write(arguments.output)
        command = shlex.join(["sam-ft", "compare", *sys.argv[1:]])
        write_page(arguments.output / "index.html", comparing_page(comparison, command=command))
        print(f"Written to {arguments.output}: index.html, compare.json, compare.md, compare.tex")


def main() -> None:
    """The program."""
    arguments = parser().parse_args()
    with mistakes_in_one_line():
        run(arguments)


if __name__ == "__main__":
    main()
