from __future__ import annotations

import pytest
import torch
from matplotlib.colors import to_rgba

from sam_ft.class_pictures import ClassCase, class_figure, colour_of, draw_classes
from sam_ft.pictures import blank_figure

NAMES = ("background", "road", "car", "tree")


def case() -> ClassCase:
    truth = torch.tensor([[0, 1, 1], [0, -1, 1]])
    image = torch.full((2, 3, 3), 90, dtype=torch.uint8)
    return ClassCase("a", image, truth, torch.tensor([[0, 2, 1], [0, 2, 1]]))


def test_each_class_has_a_colour_of_its_own() -> None:
    colours = {colour_of(number) for number in range(1, 60)}
    assert len(colours) == 59
    assert all(0 <= value <= 1 for colour in colours for value in colour)


def test_background_stays_as_it_is_and_unknown_pixels_are_dark() -> None:
    axes = blank_figure(1, 1, facecolor="white").add_subplot()
    draw_classes(axes, case().image, case().truth)
    area = axes.images[1].get_array()
    assert area[0, 0, 3] == 0 and area[1, 1].tolist() == [0, 0, 0, 0.85]
    assert area[0, 1, :3].tolist() == pytest.approx(colour_of(1))


def test_the_key_names_what_occurs_and_nothing_else() -> None:
    figure = class_figure([case(), case()], NAMES)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["road", "car", "background (no colour)", "unknown"]
    assert to_rgba(figure.legends[0].get_patches()[1].get_edgecolor())[:3] == pytest.approx(colour_of(2))
    assert [axes.get_title() for axes in figure.axes[:3]] == ["image", "truth", "prediction"]


def test_no_case_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        class_figure([], NAMES)
