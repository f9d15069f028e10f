from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from sam_ft.charts import calibration_figure, curves_figure, training_figure
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
