from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from sam_ft.pictures import (
    BOX,
    CLICK_BACKGROUND,
    CLICK_FOREGROUND,
    PREDICTION,
    TRUTH,
    Case,
    Prediction,
    comparison_figure,
    draw_overlay,
    draw_prompts,
    outlined,
    overlay,
    to_png,
    view_around,
)

IMAGE = torch.full((40, 50, 3), 60, dtype=torch.uint8)


def rectangle(*, top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(40, 50, dtype=torch.bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def pixels(figure: Figure) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(to_png(figure, dpi=200))).convert("RGB")).astype(float)


def empty_axes() -> Axes:
    return Figure().add_subplot()


def covered(figure: Figure, colour: str) -> list[float]:
    """Left, top, right and bottom of what has a colour in the picture of a whole image, in the image's pixels."""
    picture = pixels(figure)
    rows, columns = np.nonzero(np.abs(picture - np.array(to_rgb(colour)) * 255).max(axis=-1) < 12)
    scale = picture.shape[1] / 50
    return [edge / scale for edge in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def test_prediction_lies_exactly_on_its_pixels() -> None:
    picture = pixels(overlay(IMAGE, rectangle(top=10, left=20, bottom=29, right=39)))
    scale = picture.shape[1] / 50
    blue = picture[..., 2] - picture[..., 0] > 30
    rows, columns = np.nonzero(blue)
    assert columns.min() / scale == pytest.approx(20, abs=0.6)
    assert (columns.max() + 1) / scale == pytest.approx(40, abs=0.6)
    assert rows.min() / scale == pytest.approx(10, abs=0.6)
    assert (rows.max() + 1) / scale == pytest.approx(30, abs=0.6)
    assert (
        np.abs(
            picture[int(20 * scale), int(30 * scale)] - (0.55 * 60 + 0.45 * 255 * np.array(to_rgb(PREDICTION)))
        ).max()
        < 3
    )


def test_truth_is_an_outline_and_closed_along_the_border_of_the_image() -> None:
    picture = pixels(overlay(IMAGE, truth=rectangle(top=0, left=0, bottom=39, right=24)))
    scale = picture.shape[1] / 50
    assert np.abs(picture[int(20 * scale), int(12 * scale)] - 60).max() < 3
    left, top, right, bottom = covered(overlay(IMAGE, truth=rectangle(top=0, left=0, bottom=39, right=24)), TRUTH)
    assert (left, top) == (pytest.approx(0, abs=0.5), pytest.approx(0, abs=0.5))
    assert (right, bottom) == (pytest.approx(25, abs=0.7), pytest.approx(40, abs=0.5))


def test_clicks_are_drawn_at_the_centres_of_their_pixels() -> None:
    for label, colour in ((1, CLICK_FOREGROUND), (0, CLICK_BACKGROUND)):
        left, top, right, bottom = covered(overlay(IMAGE, points=[(30, 12)], labels=[label]), colour)
        assert (left + right) / 2 == pytest.approx(30.5, abs=0.3)
        assert (top + bottom) / 2 == pytest.approx(12.5, abs=0.3)


def test_box_is_drawn_around_its_last_pixels() -> None:
    edges = covered(overlay(IMAGE, box=(10, 5, 29, 24)), BOX)
    assert edges == pytest.approx([10, 5, 30, 25], abs=0.6)


def test_clicks_are_numbered_in_their_order() -> None:
    axes = empty_axes()
    draw_prompts(axes, points=[(1, 2), (3, 4), (5, 6)], labels=[1, 0, 1])
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [
        ("1", (1, 2)),
        ("2", (3, 4)),
        ("3", (5, 6)),
    ]
    colours = [to_hex(line.get_markerfacecolor()).upper() for line in axes.lines]
    assert colours == [CLICK_FOREGROUND, CLICK_BACKGROUND, CLICK_FOREGROUND]
    assert len({line.get_marker() for line in axes.lines}) == 2


def test_an_empty_mask_is_drawn_as_nothing() -> None:
    nothing = torch.zeros(40, 50, dtype=torch.bool)
    assert (pixels(overlay(IMAGE, nothing, truth=nothing)) == pixels(overlay(IMAGE))).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected `truth` \(40, 50\)"):
        draw_overlay(empty_axes(), IMAGE, truth=torch.zeros(50, 40, dtype=torch.bool))


def test_overlay_has_the_proportions_of_what_it_shows() -> None:
    width, height = overlay(IMAGE).get_size_inches()
    assert width / height == pytest.approx(50 / 40)
    width, height = overlay(IMAGE, view=(0, 0, 9, 19)).get_size_inches()
    assert width / height == pytest.approx(0.5)


def test_a_view_holds_its_objects_and_stays_in_the_image() -> None:
    mask = rectangle(top=30, left=2, bottom=38, right=8)
    left, top, right, bottom = view_around(mask, min_size=16)
    assert (left, bottom) == (0, 39)
    assert right - left == bottom - top == 15
    assert left <= 2 and right >= 8 and top <= 30
    assert view_around(torch.zeros(40, 50, dtype=torch.bool)) == (0, 0, 49, 39)
    assert view_around(torch.ones(40, 50, dtype=torch.bool)) == (0, 0, 49, 39)


def case(*titles: str) -> Case:
    truth = rectangle(top=10, left=10, bottom=20, right=20)
    predictions = [Prediction(title, truth, 0.123456, points=[(15, 15)], labels=[1]) for title in titles]
    return Case("slice 7", IMAGE, truth, predictions, points=[(15, 15)], labels=[1])


def test_comparison_has_a_row_per_case_and_says_the_iou() -> None:
    figure = comparison_figure([case("before", "after")] * 3)
    assert len(figure.axes) == 3 * 4
    assert [axes.get_title() for axes in figure.axes[:4]] == ["prompt", "truth", "before", "after"]
    assert [axes.get_xlabel() for axes in figure.axes[4:8]] == ["slice 7", "", "IoU 0.123", "IoU 0.123"]
    assert pixels(figure).std() > 10


def test_cases_that_do_not_line_up_are_refused() -> None:
    for cases in ([], [case("before", "after"), case("after")]):
        with pytest.raises(ValueError, match="equally many predictions"):
            comparison_figure(cases)


def test_drawing_does_not_need_pyplot() -> None:
    code = (
        "import sys, torch; from sam_ft.pictures import overlay, to_png; "
        "to_png(overlay(torch.zeros(4, 4, 3, dtype=torch.uint8), torch.ones(4, 4, dtype=torch.bool))); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_outlined_draws_the_border_between_objects_that_touch() -> None:
    image, labels = np.full((20, 40, 3), 90, dtype=np.uint8), np.ones((20, 40), dtype=np.int64)
    labels[:, 20:] = 2
    drawn = np.array(Image.open(io.BytesIO(outlined(image, labels, side=80))))
    truth = [round(255 * part) for part in to_rgb(TRUTH)]
    assert drawn.shape == (40, 80, 3)
    assert (drawn == truth).all(axis=-1).any(axis=0).nonzero()[0].tolist() == [40]
    plain = np.array(Image.open(io.BytesIO(outlined(image, None, side=80))))
    assert (plain == 90).all()
