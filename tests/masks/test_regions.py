from __future__ import annotations

import numpy as np
from scipy import ndimage

from sam_ft.masks.regions import remove_small_regions

EIGHT = np.ones((3, 3))


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    mask = np.ones((12, 12), dtype=bool)
    mask[1, 1] = mask[3:6, 3:6] = False
    filled, changed = remove_small_regions(mask, 9, "holes")
    assert changed and filled[1, 1] and not filled[3:6, 3:6].any()
    assert not remove_small_regions(filled, 9, "holes")[1]


def test_small_parts_go_and_the_largest_stays_even_if_it_is_small() -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[1, 1] = mask[4:6, 4:6] = mask[9, 2:5] = True
    kept, changed = remove_small_regions(mask, 100, "islands")
    assert changed and kept.sum() == 4 and kept[4:6, 4:6].all()
    kept, changed = remove_small_regions(mask, 3, "islands")
    assert changed and kept.sum() == 7


def test_an_empty_and_a_full_mask_stay() -> None:
    for value in (False, True):
        mask = np.full((5, 5), value)
        for mode in ("holes", "islands"):
            kept, changed = remove_small_regions(mask, 3, mode)
            assert np.array_equal(kept, mask) and not changed


def test_random_masks_are_treated_as_by_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random((20, 20)) < 0.5
        labels, count = ndimage.label(~mask, EIGHT)
        small = [number for number in range(1, count + 1) if (labels == number).sum() < 6]
        assert np.array_equal(remove_small_regions(mask, 6, "holes")[0], mask | np.isin(labels, small))
        labels, count = ndimage.label(mask, EIGHT)
        areas = [int((labels == number).sum()) for number in range(1, count + 1)]
        large = [number for number, area in enumerate(areas, 1) if area >= 6] or [int(np.argmax(areas)) + 1]
        assert np.array_equal(remove_small_regions(mask, 6, "islands")[0], np.isin(labels, large))
