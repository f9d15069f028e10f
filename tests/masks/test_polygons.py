from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_ft.masks import polygons as polygons_module
from sam_ft.masks.polygons import run_lengths_of_polygons
from sam_ft.masks.rle import decode
from sam_ft.masks.rle_coco import to_coco

pycocotools = pytest.importorskip("pycocotools.mask", reason="the reference (extra data)")
SQUARE = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 3.0]])
coordinates = st.floats(-20, 60, width=32) | st.integers(-5, 50).map(float) | st.integers(0, 90).map(lambda n: n / 2)
polygons = st.lists(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9), min_size=1, max_size=3)


@pytest.mark.reference
@settings(max_examples=400)
@given(objects=polygons, height=st.integers(1, 50), width=st.integers(1, 50))
def test_polygons_are_drawn_pixel_for_pixel_as_pycocotools_does(
    objects: list[list[tuple[float, float]]], height: int, width: int
) -> None:
    ours = run_lengths_of_polygons([np.array(corners) for corners in objects], size=(height, width))
    flat = [[number for corner in corners for number in corner] for corners in objects]
    peer = pycocotools.merge(pycocotools.frPyObjects(flat, height, width))
    assert to_coco(ours)[0]["counts"].encode() == peer["counts"]


def test_a_square_holds_the_pixels_whose_middles_it_holds() -> None:
    expected = np.zeros((5, 6), dtype=np.bool_)
    expected[1:3, 1:4] = True
    assert np.array_equal(decode(run_lengths_of_polygons([SQUARE], size=(5, 6)))[0], expected)


def test_polygons_of_one_object_are_joined() -> None:
    both = decode(run_lengths_of_polygons([SQUARE, SQUARE + 1], size=(9, 9)))[0]
    each = [decode(run_lengths_of_polygons([corners], size=(9, 9)))[0] for corners in (SQUARE, SQUARE + 1)]
    assert np.array_equal(both, each[0] | each[1]) and both.sum() == 10


@pytest.mark.parametrize("piece", [1, 2, 7, 100])
def test_an_outline_that_is_followed_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    random = np.random.default_rng(0)
    shapes = [random.uniform(-9, 40, (corners, 2)) for corners in (3, 5, 9, 17)]
    whole = [run_lengths_of_polygons([corners], size=(30, 25)).counts for corners in shapes]
    monkeypatch.setattr(polygons_module, "_PIECE", piece)
    for corners, expected in zip(shapes, whole, strict=True):
        assert np.array_equal(run_lengths_of_polygons([corners], size=(30, 25)).counts, expected)


def test_the_outlines_of_an_object_are_bounded_together() -> None:
    long = np.array([[0.0, 0.0], [1e6, 1.0], [1.0, 1e6]])
    with pytest.raises(ValueError, match="16777216 steps at most, but got 2999"):
        run_lengths_of_polygons([long, long], size=(5, 6))


@pytest.mark.parametrize(
    "corners, message",
    [
        ([], "at least one polygon"),
        ([SQUARE[:2]], r"3 corners .* the shape \(2, 2\)"),
        ([SQUARE.ravel()], r"the shape \(8,\)"),
        ([SQUARE * np.nan], "within 1000000 pixels"),
        ([SQUARE * np.inf], "within 1000000 pixels"),
        ([np.tile([[0, 0], [1e6, 1e6]], (9, 1))], "16777216 steps at most"),
    ],
)
def test_malformed_polygons_are_refused(corners: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_lengths_of_polygons(corners, size=(5, 6))
