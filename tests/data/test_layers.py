from __future__ import annotations

import numpy as np
import pytest

from sam_ft.data.layers import Layers, layers_of


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_masks_come_back_as_they_were(share: float) -> None:
    masks = np.random.default_rng(0).random((40, 9, 11)) < share
    assert np.array_equal(layers_of(masks).masks(), masks)


def test_masks_that_do_not_overlap_share_one_map() -> None:
    labels = np.arange(12).reshape(3, 4)
    assert layers_of(labels == np.arange(12)[:, None, None]).maps.shape == (1, 3, 4)


def test_masks_that_overlap_lie_in_different_maps() -> None:
    masks = np.ones((3, 4, 4), dtype=bool)
    masks[1, :, 2:] = False
    masks[2] = ~masks[1]
    layers = layers_of(masks)
    assert layers.maps.shape == (2, 4, 4) and [layer for layer, _ in layers.places] == [0, 1, 1]


def test_a_map_holds_no_more_masks_than_8_bits_tell_apart() -> None:
    labels = np.arange(300).reshape(15, 20)
    masks = labels == np.arange(300)[:, None, None]
    layers = layers_of(masks)
    assert layers.maps.shape == (2, 15, 20)
    assert np.array_equal(layers.masks(), masks)


def test_no_masks_have_no_maps() -> None:
    layers = layers_of(np.zeros((0, 5, 6), dtype=bool))
    assert layers.maps.shape == (0, 5, 6) and layers.masks().shape == (0, 5, 6)


def test_maps_may_change_their_size() -> None:
    masks = np.zeros((2, 4, 4), dtype=bool)
    masks[0, :2], masks[1, 2:] = True, True
    layers = layers_of(masks)
    flipped = Layers(maps=layers.maps[:, ::-1, :3], places=layers.places)
    assert np.array_equal(flipped.masks(), masks[:, ::-1, :3])
