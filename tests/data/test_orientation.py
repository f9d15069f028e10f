from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam_ft.data.image_files import image_size, read_image, read_label_map
from sam_ft.data.image_mask import ImageMaskFolder
from sam_ft.data.orientation import ORIENTATION

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24)).astype(np.uint8)


def save(path: Path, *, orientation: int | None) -> Path:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    Image.fromarray(PIXELS).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_an_image_that_viewers_turn_is_refused_with_what_to_do(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = save(tmp_path / f"photo{suffix}", orientation=orientation)
    for read in (read_image, image_size, read_label_map):
        with pytest.raises(ValueError, match=rf"photo{suffix}.*orientation {orientation}\).*upright.*-Orientation=\)"):
            read(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", [None, 0, 1, 9])
def test_an_upright_image_is_read_as_it_is_stored(tmp_path: Path, suffix: str, orientation: int | None) -> None:
    path = save(tmp_path / f"photo{suffix}", orientation=orientation)
    assert image_size(path) == (16, 24)
    assert np.abs(read_image(path)[..., 0].astype(int) - PIXELS).max() <= (40 if suffix == ".jpg" else 0)


def test_exif_that_is_damaged_turns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0no header at all")
    assert image_size(path) == (16, 24) and read_image(path).shape == (16, 24, 3)


def test_a_deep_tiff_of_several_channels_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    deep = np.stack([PIXELS] * 3, axis=-1).astype(np.uint16)
    tifffile.imwrite(path, deep, photometric="rgb", extratags=[(ORIENTATION, "H", 1, 3, True)])
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=r"deep.tif.*orientation 3\).*-Orientation=\)"):
            read(path)


def test_a_data_set_names_the_photograph_before_anything_is_trained(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    save(tmp_path / "images" / "photo.jpg", orientation=3)
    Image.fromarray((PIXELS > 128).astype(np.uint8)).save(tmp_path / "labels" / "photo.png")
    with pytest.raises(ValueError, match="upright image in .*images/photo.jpg"):
        ImageMaskFolder(tmp_path / "images", tmp_path / "labels")
