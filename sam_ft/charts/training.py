"""The losses and scores of a training, step by step."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from sam_ft.charts.style import colours, legend, style
from sam_ft.pictures import blank_figure


def training_figure(path: str | Path, *, dark: bool = False) -> Figure:
    """The losses and the validation mIoU over the steps of a training, from its CSV log (`metrics.csv`).

    Columns with "loss" in their name go to the left, those with "miou" to the right, over the column `step`.

    Raises:
        ValueError: the file cannot be read or holds no such columns.
    """
    columns = _read_columns(path)
    figure = blank_figure(9.6, 3.4, facecolor="none")
    halves = figure.subplots(
        1, 2, gridspec_kw={"left": 0.055, "right": 0.985, "top": 0.88, "bottom": 0.16, "wspace": 0.16}
    )
    for axes, word, title in zip(halves, ("loss", "miou"), ("Training loss", "Validation mIoU"), strict=True):
        names = [name for name in columns if word in name.lower()]
        for name, colour in zip(names, colours(len(names), dark=dark)[::-1], strict=True):
            steps, values = columns[name]
            smooth = len(values) > 40
            axes.plot(
                steps,
                values,
                color=colour,
                linewidth=1 if smooth else 2,
                alpha=0.3 if smooth else 1,
                marker="o" if len(values) < 25 else None,
                markersize=4,
                label=None if smooth else name,
            )
            if smooth:
                axes.plot(steps, _smoothed(values), color=colour, linewidth=2, label=name)
        if word == "miou":
            axes.set(ylim=(0, 1))
        axes.set_xlabel("step")
        style(axes, title=title, dark=dark)
        legend(axes, dark=dark, location="best")
    return figure


def _read_columns(path: str | Path) -> dict[str, tuple[list[float], list[float]]]:
    """From a column's name to its steps and values, where it has any."""
    columns: dict[str, tuple[list[float], list[float]]] = {}
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    if text and row.get("step") and ("loss" in name.lower() or "miou" in name.lower()):
                        steps, values = columns.setdefault(name, ([], []))
                        steps.append(float(row["step"]))
                        values.append(float(text))
    except (OSError, ValueError) as err:
        raise ValueError(f"Expected a CSV log of numbers at {path}, but it cannot be read: {err}.") from err
    if not columns:
        raise ValueError(
            f"Expected columns `step` and `...loss...` or `...miou...` in {path}, but got none with values."
        )
    return columns


def _smoothed(values: Sequence[float], *, weight: float = 0.9) -> list[float]:
    """An exponential mean, corrected for its start."""
    total, norm, result = 0.0, 0.0, []
    for value in values:
        total, norm = weight * total + (1 - weight) * value, weight * norm + 1 - weight
        result.append(total / norm)
    return result
