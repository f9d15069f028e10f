from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from sam_ft.charts.calibration import calibration_figure, calibrations_figure
from sam_ft.charts.curves import curves_figure, recall_figure
from sam_ft.charts.differences import Difference, differences_figure
from sam_ft.charts.histogram import histogram_figure
from sam_ft.charts.training import training_figure
from sam_ft.metrics.bootstrap import Interval
from sam_ft.metrics.calibration import calibration
from sam_ft.pictures import to_png

BEFORE = {"miou@1": 0.2, "miou@3": 0.3, "miou@box": 0.4, "num_masks": 9}
AFTER = {"miou@1": 0.6, "miou@3": 0.7, "miou@box": 0.8, "num_masks": 9}


def test_curves_show_clicks_as_a_line_and_the_box_apart() -> None:
    axes = curves_figure({"before": BEFORE, "after": AFTER}).axes[0]
    lines = [list(line.get_ydata()) for line in axes.lines]
    assert lines == [[0.2, 0.3], [0.4], [0.6, 0.7], [0.8]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 click", "3 clicks", "box"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["before", "after"]


def test_curves_take_summaries_with_other_prompts() -> None:
    axes = curves_figure({"box only": {"miou@box": 0.5}, "clicks": {"miou@2": 0.25}}).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2 clicks", "box"]
    with pytest.raises(ValueError, match="miou@"):
        curves_figure({"nothing": {"num_masks": 3}})


def test_intervals_are_a_band_around_the_clicks_and_a_bar_at_the_box() -> None:
    intervals = {
        "miou@1": Interval(0.6, 0.5, 0.65),
        "miou@3": Interval(0.7, 0.6, 0.9),
        "miou@box": Interval(0.8, 0.7, 1),
    }
    axes = curves_figure({"before": BEFORE, "after": AFTER}, intervals={"after": intervals}).axes[0]
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices.tolist()
    assert all(corner in corners for corner in ([0, 0.5], [0, 0.65], [1, 0.6], [1, 0.9]))
    assert [0.7, 1] in [list(line.get_ydata()) for line in axes.lines]


def test_other_figures_of_a_summary_are_no_clicks() -> None:
    others = {"noc@85": 3.0, "nof@90": 2, "miou@1_oracle": 0.9, "miou@box+1": 0.9, "class_accuracy@1": 1.0}
    axes = curves_figure({"after": {**AFTER, **others}}).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 click", "3 clicks", "box"]


def test_charts_are_transparent_and_write_lightly_on_a_dark_page() -> None:
    brightness = []
    for dark in (False, True):
        figure = curves_figure({"after": AFTER}, dark=dark)
        assert np.array(Image.open(io.BytesIO(to_png(figure))))[0, 0, 3] == 0
        axes = figure.axes[0]
        texts = [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.get_legend().get_texts()]
        brightness.append([sum(to_rgb(text.get_color())) / 3 for text in texts])
    assert max(brightness[0]) < 0.35
    assert min(brightness[1]) > 0.7


def test_training_curves_come_from_the_columns_that_have_values(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("step,epoch,train/loss,val/miou@1,lr\n0,0,2.0,,1\n1,0,1.5,,1\n1,0,,0.25,\n2,0,1.0,0.5,1\n")
    left, right = training_figure(log).axes
    assert [list(line.get_xdata()) for line in left.lines] == [[0, 1, 2]]
    assert [list(line.get_ydata()) for line in left.lines] == [[2, 1.5, 1]]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in right.lines] == [([1, 2], [0.25, 0.5])]


def test_a_log_without_curves_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.csv"):
        training_figure(tmp_path / "missing.csv")
    for text in ("step,lr\n0,1\n", "step,train/loss\n0,many\n"):
        (tmp_path / "metrics.csv").write_text(text)
        with pytest.raises(ValueError, match=r"metrics\.csv"):
            training_figure(tmp_path / "metrics.csv")


def test_calibration_has_a_disc_with_its_number_of_masks_for_each_bin_that_has_any() -> None:
    figure = calibration_figure(calibration(torch.tensor([0.12, 0.14, 0.95]), torch.tensor([0.3, 0.5, 0.9])))
    (axes,) = figure.axes
    discs = axes.collections[0].get_offsets()
    np.testing.assert_allclose(discs, [[0.13, 0.4], [0.95, 0.9]], atol=1e-6)
    assert [text.get_text() for text in axes.texts] == ["2", "1"]


DIFFERENCES = [
    Difference("1 click", 0.1, 0.05, 0.15, group="all objects"),
    Difference("box", -0.1, -0.2, -0.05, group="all objects"),
    Difference("1 click", 0.1, -0.05, 0.2, group="small"),
]


def test_differences_are_rows_under_their_groups_coloured_by_what_is_clear() -> None:
    axes = differences_figure(DIFFERENCES, title="t").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1 click", "box", "1 click"]
    assert axes.get_yticks().tolist() == [1, 2, 4]  # rows 0 and 3 are the names of the groups
    assert [(text.get_text(), text.get_position()[1]) for text in axes.texts] == [("all objects", 0), ("small", 3)]
    zero, *lines = axes.lines
    assert list(zero.get_xdata()) == [0, 0]
    assert [list(line.get_xdata()) for line in lines] == [
        [0.05, 0.15], [0.1], [-0.2, -0.05], [-0.1], [-0.05, 0.2], [0.1],
    ]  # fmt: skip
    assert [lines[place].get_color() for place in (0, 2, 4)] == ["#009E73", "#D55E00", "#8A9099"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # from top to bottom


def test_a_difference_without_an_interval_is_a_grey_dot() -> None:
    axes = differences_figure([Difference("box", 0.1, None, None)], title="t").axes[0]
    (_, dot) = axes.lines
    assert list(dot.get_xdata()) == [0.1] and dot.get_color() == "#8A9099"


def test_no_differences_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one difference"):
        differences_figure([], title="t")


def test_calibrations_of_two_models_are_two_named_lines() -> None:
    first, second = (calibration(torch.tensor([0.2, 0.8]), torch.tensor(actual)) for actual in ([0.3, 0.7], [0.1, 0.9]))
    axes = calibrations_figure({"before": first, "after": second}).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines[1:]] == [
        pytest.approx([0.3, 0.7]), pytest.approx([0.1, 0.9]),
    ]  # fmt: skip
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["before", "after"]


def test_histogram_has_a_bar_for_each_count_and_a_logarithmic_axis_where_edges_grow() -> None:
    even = histogram_figure([0, 1, 2], [3, 4], title="t", xlabel="x")
    assert [bar.get_height() for bar in even.axes[0].patches] == [3, 4]
    assert even.axes[0].get_xscale() == "linear" and even.axes[0].get_xlabel() == "x"
    steep = histogram_figure([1, 10, 100], [3, 4], title="t", xlabel="x", mark=16, dark=True)
    assert steep.axes[0].get_xscale() == "log"
    assert [line.get_xdata()[0] for line in steep.axes[0].lines] == [16]


def test_recall_is_drawn_over_the_numbers_of_proposals() -> None:
    curves = {"all": [(1, 0.1), (10, 0.4), (1000, 0.6)], "large": [(1, 0.2), (10, 0.5), (1000, 0.9)]}
    axes = recall_figure(curves, dark=True).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.1, 0.4, 0.6], [0.2, 0.5, 0.9]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "1,000"]
    assert axes.get_xscale() == "log"
    with pytest.raises(ValueError, match="at least one curve"):
        recall_figure({})
