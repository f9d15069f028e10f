"""The results of all benchmarks: one file, a table and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sam_ft.files import atomic_write, write_json
from sam_ft.pictures import blank_figure
from tests.benchmarks.comparing import Row

_HOLDS, _FAILS, _WANTED, _TEXT = "#009E73", "#D55E00", "#16191D", "#4A505A"
_NUMBERS = {1, 2, 4, 5}  # columns of the table


def data_folder() -> Path | None:
    """The folder of real data that SAM_FT_DATA names; None where it is unset."""
    folder = os.environ.get("SAM_FT_DATA")
    return Path(folder) if folder else None


def read_rows(path: Path) -> list[Row]:
    """The rows that earlier runs have written; none where there is no file."""
    if not path.is_file():
        return []
    try:
        return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as err:
        raise ValueError(f"Expected rows of benchmarks in {path}, but: {err}; delete it.") from err


def write_rows(path: Path, name: str, rows: Sequence[Row]) -> list[Row]:
    """Put the rows of the benchmark `name` into the file in place of its old ones; other benchmarks' rows stay.

    Returns:
        All rows of the file, a benchmark after the other by name.
    """
    others = [row for row in read_rows(path) if benchmark_of(row) != name]
    merged = sorted([*others, *rows], key=benchmark_of)  # stable: cases keep their order
    write_json(path, [asdict(row) for row in merged])
    return merged


def benchmark_of(row: Row) -> str:
    """The name of the benchmark that a row is of."""
    return row.name.partition("/")[0]


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned columns."""
    header = ("", "ours", "peer", "unit", "ratio", "wanted", "outputs", "peer's name")
    lines = [
        (row.name, f"{row.ours:.4g}", f"{row.peer:.4g}", row.unit, f"{row.ratio:.2f}", f"{row.at_least:.2f}",
         "agree" if row.outputs_agree else "DIFFER", row.peer_name + ("" if row.holds else "   <- FAILS"))
        for row in rows
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    return "\n".join(
        "  ".join(_padded(cell, width, column) for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in [header, *lines]
    )


def _padded(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in _NUMBERS else cell.ljust(width)


def save_picture(path: Path, rows: Sequence[Row]) -> None:
    """A bar per row: how many times as good ours is, on a logarithmic axis, and what is wanted as a tick."""
    height = 0.3 * len(rows) + 1.0
    figure = blank_figure(9.0, height, facecolor="white")
    axes = figure.add_axes((0.36, 0.5 / height, 0.56, 1 - 0.95 / height))
    for place, row in enumerate(rows):
        axes.barh(place, row.ratio - 1, left=1, height=0.62, color=_HOLDS if row.holds else _FAILS)
        axes.plot([row.at_least] * 2, [place - 0.42, place + 0.42], color=_WANTED, linewidth=1.6)
        axes.annotate(
            f"{row.ratio:.2f}", (max(row.ratio, 1, row.at_least), place), (5, 0), textcoords="offset points",
            va="center", fontsize=8.5, color=_TEXT,
        )  # fmt: skip
    bounds = [value for row in rows for value in (row.ratio, row.at_least)]
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(0.8, *bounds) / 1.1, max(1.6, *bounds) * 1.35)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.axvline(1, color="#8A9099", linewidth=1, linestyle="--")
    axes.set(ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_title("How many times as good as the peer; the mark is what is wanted", loc="left", fontsize=10,
                   fontweight="bold", color=_WANTED)  # fmt: skip
    axes.tick_params(length=0, labelsize=8.5, colors=_TEXT)
    axes.grid(axis="x", color="#E3E6EA", linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color="#E3E6EA")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
