"""Several evaluations of the same images as one table: a row for each model, a column for each figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_ft.evaluation.comparing.figure_names import heading
from sam_ft.evaluation.comparing.rows import Row, expect_same_images
from sam_ft.evaluation.showing.figures import written_with_ends
from sam_ft.files import write_json
from sam_ft.pages.page import Table
from sam_ft.pages.tables import write_tables


@dataclass(frozen=True)
class JoinedEvaluations:
    """The rows, and which figures they share.

    Attributes:
        rows: One for each model, all of the same images.
        keys: The figures shown, each of which at least two rows have; of a single row all.
        left_out: The figures that one row alone has.
    """

    rows: Sequence[Row]
    keys: Sequence[str]
    left_out: Sequence[str]

    @property
    def table(self) -> Table:
        """Where the rows were not measured in one way, a column says what differs."""
        ways = [_way(row, self._differing) for row in self.rows]
        has_ways = len(set(ways)) > 1
        return Table(
            columns=["model", *(["measured with"] if has_ways else []), *map(heading, self.keys)],
            rows=[
                [row.name, *([way] if has_ways else []), *(_cell(row, key) for key in self.keys)]
                for row, way in zip(self.rows, ways, strict=True)
            ],
            caption=self._caption,
        )

    def write(self, output: str | Path) -> None:
        """Write `table.md`, `table.tex`, and the same with all digits as `table.json`.

        Raises:
            ValueError: `output` cannot be written to.
        """
        write_json(Path(output) / "table.json", {"rows": list(map(_content, self.rows)), "left_out": self.left_out})
        write_tables(output, "table", [self.table])

    @property
    def _caption(self) -> str:
        """Of how many images and folds, what the brackets are, and what the table lacks."""
        first = self.rows[0]
        total = sum(fold.measured.num_images for fold in first.folds)
        empty = sum(fold.measured.num_samples for fold in first.folds) - total
        unit = first.measured.unit.removesuffix("s" * (total == 1))
        others = f", beside {empty:,} without an object" if unit.startswith("image") and empty else ""
        sentences = [f"{total:,} {unit} of part={first.measured.part}{others}."]
        if len(first.folds) > 1:
            sentences.append(f"Means over {len(first.folds)} folds, each counting the same.")
        if any(key in row.intervals for row in self.rows for key in self.keys):
            sentences.append(f"In brackets the 95 % interval, from drawing whole {first.measured.unit}.")
        if self.left_out:
            sentences.append(f"Left out, since one model alone has them: {', '.join(map(heading, self.left_out))}.")
        return " ".join(sentences)

    @property
    def _differing(self) -> list[str]:
        """The settings of protocols in which rows differ that both have them."""
        settings = [row.measured.settings for row in self.rows]
        names = dict.fromkeys(name for each in settings for name in each)
        held = {name: [each[name] for each in settings if name in each] for name in names}
        return [name for name, values in held.items() if any(value != values[0] for value in values)]


def join(rows: Sequence[Row], *, figures: Sequence[str] | None = None) -> JoinedEvaluations:
    """Put evaluations into one table.

    Args:
        rows: Of models with different names.
        figures: Which to show, by their names in `summary.json`; None: all that two rows share.

    Raises:
        ValueError: They are of other images or other objects, a row shares no figure with any other, or a figure that
            is asked for is in none.
    """
    expect_same_images(rows)
    count = {key: sum(key in row.figures for row in rows) for row in rows for key in row.figures}
    shared = [key for key in count if count[key] > 1 or len(rows) == 1]
    for row in rows:
        if not row.figures.keys() & set(shared):
            others = ", ".join(key for other in rows if other is not row for key in other.figures)
            raise ValueError(
                f"Expected a figure that {row.name} shares with another, but it has {', '.join(row.figures)} and the "
                f"others {others}."
            )
    if figures is not None and (unknown := [key for key in figures if key not in count]):
        raise ValueError(f"Expected figures out of {', '.join(count)}, but got {', '.join(unknown)}.")
    left_out = [] if figures is not None else [key for key in count if key not in shared]
    return JoinedEvaluations(rows, keys=list(figures or shared), left_out=left_out)


def _cell(row: Row, key: str) -> str:
    """A figure as `0.708 [0.690, 0.725]`; empty where the row has none."""
    return written_with_ends(key, row.figures.get(key), row.intervals.get(key))


def _way(row: Row, differing: Sequence[str]) -> str:
    """The protocol, those of its settings that differ, and what was not measured."""
    settings, left_out = row.measured.settings, row.left_out
    words = [row.measured.protocol, *(f"{name}={_value(settings[name])}" for name in differing if name in settings)]
    words += [f"without {count:,} {kind} that hold no object" for kind, count in left_out.items() if count]
    return ", ".join(words)


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


def _content(row: Row) -> Mapping[str, object]:
    return {
        "name": row.name,
        "folders": [str(fold.folder) for fold in row.folds],
        "figures": row.figures,
        "intervals": {key: list(ends) for key, ends in row.intervals.items()},
    }
