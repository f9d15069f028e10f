"""Draws the two trainings that docs/nuclei.sh makes: mIoU against clicks (docs/nuclei.png), and how the Dice loss fell.

python docs/draw_nuclei.py OUTPUT
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sam_ft.charts.curves import curves_figure
from sam_ft.files import atomic_write
from sam_ft.pictures import to_png

NAMES = {"box_only": "boxes alone in training", "clicks": "clicks and boxes in training"}
COLOURS = {"clicks": "#0072B2", "box_only": "#7A8089"}
SIDES = (128, 256, 512, 768)  # of the frame, in the four trainings
SMOOTHED_OVER = 10  # logged steps


def main(output: Path) -> None:
    """Both pictures, beside this file."""
    summaries = {
        title: json.loads((output / name / "test" / "summary.json").read_text()) for name, title in NAMES.items()
    }
    for file, figure in (("nuclei.png", curves_figure(summaries)), ("nuclei_training.png", training_figure(output))):
        with atomic_write(Path(__file__).with_name(file)) as path:
            path.write_bytes(to_png(figure, dpi=110))


def training_figure(output: Path) -> Figure:
    """The Dice loss over the steps of the four trainings, side by side."""
    figure = Figure(figsize=(9.6, 3.0), facecolor="none")
    panels = figure.subplots(1, len(SIDES), sharey=True)
    for number, (axes, side) in enumerate(zip(panels, SIDES, strict=True), start=1):
        for name, title in NAMES.items():
            steps, values = dice_of(output / name / str(number) / "metrics.csv")
            axes.plot(steps, values, color=COLOURS[name], linewidth=2, label=title)
        axes.set_title(f"{side} px", loc="left", fontsize=10, fontweight="bold")
        axes.set(ylim=(0, 0.7), xlabel="step")
        axes.grid(axis="y", color="#E3E6EA", linewidth=0.8)
        axes.spines[["left", "top", "right"]].set_visible(False)
        axes.tick_params(length=0, labelsize=8.5)
    panels[0].set_ylabel("Dice loss in training")
    panels[-1].legend(frameon=False, fontsize=8.5, loc="upper right")
    figure.tight_layout()
    return figure


def dice_of(log: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps and the mean loss around each."""
    with log.open(newline="") as file:
        rows = [(int(row["step"]), float(row["train/dice"])) for row in csv.DictReader(file) if row["train/dice"]]
    steps, values = np.array(rows).T
    kernel = np.ones(SMOOTHED_OVER) / SMOOTHED_OVER
    return steps[SMOOTHED_OVER - 1 :], np.convolve(values, kernel, mode="valid")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
