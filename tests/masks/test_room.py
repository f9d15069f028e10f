from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_ft.data.image_mask import ImageMaskFolder
from sam_ft.masks.room import expect_room


def test_8_gib_of_masks_are_the_most() -> None:
    expect_room(8, size=(1 << 15, 1 << 15), path=Path("a.json"))
    with pytest.raises(ValueError, match="at most 8 GiB in a.json, but got 9 objects of 32768 x 32768 pixels"):
        expect_room(9, size=(1 << 15, 1 << 15), path=Path("a.json"))


def test_a_label_map_in_which_every_pixel_is_an_object_is_refused_and_nothing_is_allocated(tmp_path: Path) -> None:
    """An image of 16 bits in the place of its label map: 400 * 400 * 65535 bytes."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        pixels = np.arange(160_000, dtype=np.uint16).reshape(400, 400)
        Image.fromarray(pixels).save(tmp_path / kind / "a.png")
    samples = ImageMaskFolder(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(ValueError, match="labels/a.png, but got 65535 objects of 400 x 400 pixels"):
        samples[0]
