"""Predicted against true IoU."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from sam_ft.charts.style import colours, legend, style
from sam_ft.metrics.calibration import Calibration
from sam_ft.pictures import blank_figure


def calibration_figure(calibration: Calibration, *, dark: bool = False) -> Figure:
    """True against predicted IoU: a disc for each bin, as large as its number of masks; the diagonal would be right."""
    return calibrations_figure({"": calibration}, dark=dark)


def calibrations_figure(calibrations: Mapping[str, Calibration], *, dark: bool = False) -> Figure:
    """`calibration_figure` of several models, one line for each; of a single one with the numbers of masks."""
    figure = blank_figure(5.6, 3.6, facecolor="none")
    axes = figure.add_axes((0.09, 0.14, 0.895, 0.74))
    axes.plot([0, 1], [0, 1], "--", color="#8A9099", linewidth=1.2)
    lines = colours(len(calibrations), dark=dark)
    for (name, calibration), colour in zip(calibrations.items(), lines, strict=True):
        bins = [each for each in calibration.bins if each.count]
        largest = max((each.count for each in bins), default=1)
        predicted, actual = [each.predicted for each in bins], [each.actual for each in bins]
        axes.plot(predicted, actual, "-", color=colour, linewidth=1.6)
        sizes = [30 + 220 * each.count / largest for each in bins]
        axes.scatter(predicted, actual, s=sizes, color=colour, zorder=3, label=name or None)
        for each in bins if len(calibrations) == 1 else []:
            axes.annotate(
                str(each.count),
                (each.predicted, each.actual),
                (9, -10),
                textcoords="offset points",
                fontsize=7.5,
                color="#C9CDD3" if dark else "#4A505A",
            )
    axes.set(xlim=(0, 1.04), ylim=(0, 1.02), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_xlabel("predicted IoU")
    counted = ", with the number of masks" if len(calibrations) == 1 else ""
    style(axes, title=f"True IoU by predicted IoU{counted}", dark=dark)
    legend(axes, dark=dark, location="lower right")
    return figure
