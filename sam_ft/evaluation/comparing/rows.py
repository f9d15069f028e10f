"""The summaries of evaluations, of one model on one or several folds, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sam_ft.data.json_files import read_json_object
from sam_ft.evaluation.comparing.measured import Measured, measured_in

COUNT = "nof@"
"""How the names of figures begin that are counts, and are added up over folds."""


@dataclass(frozen=True)
class Evaluation:
    """One `summary.json`.

    Attributes:
        folder: Where it lies.
        figures: Its headline numbers, without the counts of what was measured.
        intervals: From some of them to the ends of their 95 % intervals.
        classes: The names of the classes, in order; empty where it tells of none.
        measured: What it is of.
    """

    folder: Path
    figures: Mapping[str, float] = field(repr=False)
    intervals: Mapping[str, tuple[float, float]] = field(repr=False)
    classes: tuple[str, ...]
    measured: Measured


@dataclass(frozen=True)
class Row:
    """What a model reached; of several folds the mean of each figure that all of them have.

    Attributes:
        name: Of the model.
        folds: One evaluation at least, no two of the same images; images that only some of them share are not seen.

    Raises:
        ValueError: Two folds are of the same images, or were measured in different ways.
    """

    name: str
    folds: Sequence[Evaluation]

    def __post_init__(self) -> None:
        first, *others = self.folds
        seen = {first.measured.images: first}
        for fold in others:
            if fold.measured.images in seen:
                raise ValueError(
                    f"Expected folds of other images for {self.name}, but {seen[fold.measured.images].folder} and "
                    f"{fold.folder} are of the same ones."
                )
            seen[fold.measured.images] = fold
            if _way(fold.measured) != _way(first.measured):
                raise ValueError(
                    f"Expected folds measured in one way for {self.name}, but {first.folder} and {fold.folder} have "
                    "another protocol or other settings."
                )

    @property
    def figures(self) -> dict[str, float]:
        """The means over the folds, of counts the sums."""
        shared = [key for key in self.folds[0].figures if all(key in fold.figures for fold in self.folds)]
        sums = {key: sum(fold.figures[key] for fold in self.folds) for key in shared}
        return {key: total if key.startswith(COUNT) else total / len(self.folds) for key, total in sums.items()}

    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """Of a single evaluation; a mean over folds has none."""
        return self.folds[0].intervals if len(self.folds) == 1 else {}

    @property
    def measured(self) -> Measured:
        """What the first fold is of."""
        return self.folds[0].measured

    @property
    def left_out(self) -> dict[str, int]:
        """How much was not measured, in all folds."""
        kinds = dict.fromkeys(kind for fold in self.folds for kind in fold.measured.left_out)
        return {kind: sum(fold.measured.left_out.get(kind, 0) for fold in self.folds) for kind in kinds}


def read_row(name: str, folders: Sequence[str | Path]) -> Row:
    """The row of a model.

    Args:
        name: What it is called.
        folders: What `sam-ft evaluate` wrote for it: one, or one for each fold.

    Raises:
        ValueError: One of them is no such folder, or they are no folds (`Row`).
    """
    return Row(name, [read_evaluation(folder) for folder in folders])


def read_evaluation(folder: str | Path) -> Evaluation:
    """The evaluation in a folder.

    Raises:
        ValueError: It has no `summary.json`, or one that does not say what was measured.
    """
    path = Path(folder) / "summary.json"
    summary = read_json_object(path)
    measured = measured_in(summary, path=path)
    return Evaluation(
        folder=Path(folder),
        figures={
            key: float(value)
            for key, value in summary.items()
            if type(value) in (int, float) and not key.startswith("num_") and key not in measured.settings
        },
        intervals={key: (low, high) for key, (low, high) in (summary.get("intervals") or {}).items()},
        classes=tuple(summary.get("classes") or {}),
        measured=measured,
    )


def expect_same_images(rows: Sequence[Row]) -> None:
    """Refuse rows of other images than the first one's.

    Raises:
        ValueError: A row has another number of folds, or a fold is of other images or objects.
    """
    first, *others = rows
    for row in others:
        if len(row.folds) != len(first.folds):
            raise ValueError(
                f"Expected as many folds for each name, but got {len(first.folds)} for {first.name} and "
                f"{len(row.folds)} for {row.name}."
            )
        own = {fold.measured.images: fold for fold in row.folds}
        for fold in first.folds:
            partner = own.get(fold.measured.images, row.folds[first.folds.index(fold)])
            _expect_same(fold, partner)


def _expect_same(first: Evaluation, second: Evaluation) -> None:
    """Refuse two evaluations of different data."""
    said = [f"{each.folder} ({_on(each.measured)})" for each in (first, second)]
    one, other = first.measured, second.measured
    if _images(one) != _images(other):
        raise ValueError(f"Expected evaluations of the same images, but {said[0]} and {said[1]} are of others.")
    if None not in (one.num_objects, other.num_objects) and one.num_objects != other.num_objects:
        raise ValueError(
            f"Expected evaluations of the same objects, but {first.folder} has {one.num_objects:,} and "
            f"{second.folder} {other.num_objects:,}."
        )
    if one.protocol == other.protocol and set(first.classes) != set(second.classes):
        names = [", ".join(each.classes) or "none" for each in (first, second)]
        raise ValueError(
            f"Expected evaluations of the same classes, but {first.folder} has {names[0]} and {second.folder} "
            f"{names[1]}."
        )


def _on(measured: Measured) -> str:
    held = "" if measured.protocol == "volumes" else f" of {measured.num_samples:,}"
    return f"{measured.num_images:,}{held} {measured.unit} of part={measured.part}"


def _images(measured: Measured) -> tuple[object, ...]:
    return measured.part, measured.num_samples, measured.images


def _way(measured: Measured) -> tuple[object, ...]:
    return measured.protocol, measured.part, measured.settings
