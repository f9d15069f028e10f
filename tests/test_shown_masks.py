from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sam_ft import show_masks, show_prompts

IMAGE = np.full((40, 60, 3), 90, dtype=np.uint8)
LARGE, SMALL = np.zeros((2, 40, 60), dtype=bool)
LARGE[5:35, 5:35] = True
SMALL[10:20, 10:20] = True
MASKS = np.stack([SMALL, LARGE])


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    return drawn[:: drawn.shape[0] // 40][:40, :: drawn.shape[1] // 60][:, :60]


def test_small_masks_lie_above_large_ones_and_each_has_its_colour() -> None:
    drawn = pixels(show_masks(MASKS, IMAGE, contours=False).figure)
    small, large, outside = drawn[15, 15], drawn[30, 30], drawn[2, 50]
    assert np.abs(outside - 90).max() <= 1
    assert np.abs(small - large).max() > 30 and np.abs(large - 90).max() > 15


def test_arrays_tensors_and_records_look_alike() -> None:
    expected = pixels(show_masks(MASKS, IMAGE).figure)
    records = [{"segmentation": mask, "area": int(mask.sum())} for mask in MASKS]
    for masks in (torch.from_numpy(MASKS), records):
        assert np.array_equal(pixels(show_masks(masks, torch.from_numpy(IMAGE)).figure), expected)


def test_axes_go_in_and_come_out() -> None:
    axes = Figure().add_subplot()
    assert show_masks(MASKS, axes=axes) is axes
    before = len(axes.lines) + len(axes.patches)
    assert show_prompts(np.array([[12, 12], [50, 3]]), np.array([1, 0]), np.array([5, 5, 34, 34]), axes=axes) is axes
    assert len(axes.lines) + len(axes.patches) == before + 4  # two clicks, the box and its edge
    assert [text.get_text() for text in axes.texts] == ["1", "2"]


def test_equal_names_have_one_colour_and_one_line_in_the_legend() -> None:
    axes = show_masks(np.stack([SMALL, LARGE, ~LARGE]), names=["cell", "cell", "ground"])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["cell", "ground"]
    many = np.repeat(SMALL[None], 25, axis=0)
    legend = show_masks(many, names=[f"cell {number}" for number in range(25)]).get_legend()
    assert legend.get_texts()[-1].get_text() == "and 5 more" and len(legend.get_texts()) == 21


def test_an_empty_mask_is_drawn_as_nothing() -> None:
    drawn = pixels(show_masks(np.zeros((1, 40, 60), dtype=bool), IMAGE).figure)
    assert np.abs(drawn - 90).max() <= 1


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        (MASKS.astype(float), {}, "of bool"),
        ([], {}, "at least one"),
        ([{"segmentation": {"counts": ""}}], {}, "records with masks as arrays"),
        (MASKS, {"image": IMAGE[:10]}, "like the masks"),
        (MASKS, {"names": ["a"]}, "2 `names`"),
    ],
)
def test_masks_that_cannot_be_drawn_are_refused(masks: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        show_masks(masks, **options)  # type: ignore[arg-type]


def test_prompts_that_do_not_fit_are_refused() -> None:
    axes = Figure().add_subplot()
    with pytest.raises(ValueError, match="a label for each of 1 points"):
        show_prompts(np.array([[1, 2]]), axes=axes)
    with pytest.raises(ValueError, match="box"):
        show_prompts(box=np.array([1, 2, 3]), axes=axes)
