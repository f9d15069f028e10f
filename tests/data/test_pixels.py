from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from sam_ft.data.image_files import image_size, read_image, read_label_map
from sam_ft.data.image_mask import ImageMaskFolder
from sam_ft.data.pixels import PixelRule

HERE = Path("image.tif")
RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (40, 50, 3)).astype(np.uint16)
BANDS = (RANDOM.random((40, 50, 5)) * (1000, 2000, 3000, 4000, 5000)).astype(np.uint16)


def save_deep(path: Path, pixels: np.ndarray) -> Path:
    if path.suffix == ".png":
        cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    elif path.suffix == ".npy":
        np.save(path, pixels)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.shape[-1:] == (3,) else "minisblack")
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_all_sixteen_bits_of_colours_count(tmp_path: Path, suffix: str) -> None:
    dim = (DEEP // 256).astype(np.uint16)  # of the upper 8 bits of each number nothing is left
    path = save_deep(tmp_path / f"dim{suffix}", dim)
    assert image_size(path) == (40, 50)
    assert np.array_equal(read_image(path, PixelRule(range=[0, 255])), dim)
    low, high = np.percentile(dim, (0.5, 99.5))
    expected = (np.clip((dim - low) / (high - low), 0, 1) * 255).round()
    assert np.abs(read_image(path).astype(int) - expected).max() <= 1


def test_an_alpha_channel_of_sixteen_bits_is_left_out(tmp_path: Path) -> None:
    alpha = np.full((40, 50, 1), 65535, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), np.concatenate([DEEP[..., ::-1], alpha], axis=-1))
    assert np.array_equal(read_image(tmp_path / "a.png"), read_image(save_deep(tmp_path / "b.png", DEEP)))


@pytest.mark.parametrize(
    "planar, written", [("contig", BANDS), ("separate", BANDS.transpose(2, 0, 1)), (None, BANDS.transpose(2, 0, 1))]
)
def test_bands_of_a_tiff_become_red_green_and_blue(tmp_path: Path, planar: str | None, written: np.ndarray) -> None:
    path = tmp_path / "bands.tif"
    options = {"planarconfig": planar, "extrasamples": ["unspecified"] * 4} if planar else {}
    tifffile.imwrite(path, written, photometric="minisblack", **options)
    assert image_size(path) == (40, 50)
    image = read_image(path, PixelRule(channels=[3, 2, 1], range=[0, 5000]))
    assert np.array_equal(image, np.rint(BANDS[..., [3, 2, 1]] * np.float32(255 / 5000)).astype(np.uint8))
    grey = read_image(path, PixelRule(channels=[4], range="percentiles"))
    assert np.array_equal(grey[..., 0], grey[..., 2]) and grey.min() == 0 and grey.max() == 255
    with pytest.raises(ValueError, match=r"channels \[5, 0, 0\] in .*bands.tif, but it has 0 to 4"):
        read_image(path, PixelRule(channels=[5, 0, 0]))


def test_five_channels_without_a_choice_are_refused_with_what_to_say(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "bands.tif", BANDS, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ValueError, match=r"bands.tif, but its shape is \(40, 50, 5\).*data.channels=\[3,2,1\]"):
        read_image(tmp_path / "bands.tif")


def test_channels_of_a_microscope_are_told_from_pages(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, BANDS.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})
    assert np.array_equal(
        read_image(path, PixelRule(channels=[1], range=[0, 2000]))[..., 0],
        np.rint(BANDS[..., 1] * np.float32(255 / 2000)).astype(np.uint8),
    )
    tifffile.imwrite(path, BANDS.transpose(2, 0, 1), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(ValueError, match=r"cells.tif, but it holds 5 pages \(axes ZYX\): data=tiff_stacks"):
        read_image(path, PixelRule(channels=[1]))


def test_a_range_for_all_images_keeps_their_brightness_apart() -> None:
    rule = PixelRule(range=[100, 4195])
    dark, light = (rule.picture(np.full((3, 4), value, dtype=np.uint16), path=HERE) for value in (1124, 3172))
    assert (dark == 64).all() and (light == 191).all() and dark.shape == (3, 4, 3)
    assert (rule.picture(np.full((3, 4), 60000, dtype=np.uint16), path=HERE) == 255).all()


def test_the_range_of_a_deep_image_does_not_hang_on_its_corners() -> None:
    pixels = np.linspace(0, 60000, 10_000).reshape(100, 100).astype(np.uint16)
    pixels[:60] = 0  # six tenths are dark, as in fluorescence
    rule = PixelRule()
    expected = ((0.0, float(np.percentile(pixels, 99.5))),)
    assert rule.limits([pixels], path=HERE) == expected
    pixels[[0, 0, -1], [0, -1, 0]] = 900, 901, 902
    assert rule.limits([pixels], path=HERE) == (pytest.approx(expected[0], rel=1e-3),)


def test_percentiles_bring_a_weak_channel_to_the_brightness_of_a_strong_one() -> None:
    ramp = np.linspace(0, 1, 100 * 100).reshape(100, 100)
    pixels = np.stack([ramp * 60000, ramp[::-1] * 300, ramp.T * 20 + 5], axis=-1).astype(np.uint16)
    together, apart = (PixelRule(range=kind).picture(pixels, path=HERE) for kind in ("auto", "percentiles"))
    assert together[..., 1].max() <= 2 and together[..., 0].max() == 255
    assert [(int(apart[..., c].min()), int(apart[..., c].max())) for c in range(3)] == [(0, 255)] * 3


def test_eight_bits_stay_as_they_are_unless_asked_otherwise() -> None:
    dim = (np.arange(100, dtype=np.uint8).reshape(10, 10) // 4) + 10
    assert np.array_equal(PixelRule().picture(dim, path=HERE)[..., 0], dim)
    for rule in (PixelRule(range="percentiles"), PixelRule(stretch=True)):
        assert rule.picture(dim, path=HERE).max() == 255


@pytest.mark.parametrize(
    "wrong",
    [{"range": "full"}, {"range": [5, 5]}, {"range": [1]}, {"range": [0, float("inf")]}, {"range": None},
     {"channels": [-1, 0, 1]}, {"channels": [1, 2]}, {"channels": []}, {"channels": 3}, {"channels": "123"},
     {"channels": [1.0]}, {"stretch": "yes"}],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"Expected `{next(iter(wrong))}`"):
        PixelRule(**wrong)


def test_an_image_without_a_finite_number_is_named() -> None:
    with pytest.raises(ValueError, match="finite intensities in image.tif"):
        PixelRule().picture(np.full((3, 3), np.nan), path=HERE)
    with pytest.raises(ValueError, match=r"image.tif, but its shape is \(3, 3\) of complex128"):
        PixelRule().picture(np.zeros((3, 3), dtype=complex), path=HERE)


def test_a_data_set_shows_the_chosen_channels(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", BANDS, photometric="minisblack", planarconfig="contig")
    Image.fromarray(np.ones((40, 50), dtype=np.uint8)).save(tmp_path / "labels" / "a.png")
    sample = ImageMaskFolder(tmp_path / "images", tmp_path / "labels", channels=[0, 0, 4], range=[0, 5000])[0]
    assert sample.image[..., 0].equal(sample.image[..., 1]) and sample.image[..., 2].max() > 240
    assert sample.image[..., 0].max() == 51


@pytest.mark.parametrize("dtype", [np.uint32, np.float32, np.float64, np.int8])
def test_label_maps_of_any_number_type_are_read_from_tiff(tmp_path: Path, dtype: type) -> None:
    labels = np.arange(12).reshape(3, 4)
    tifffile.imwrite(tmp_path / "label.tif", labels.astype(dtype))
    assert np.array_equal(read_label_map(tmp_path / "label.tif"), labels)


def test_a_missing_tifffile_is_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_deep(tmp_path / "deep.tif", DEEP)
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(ValueError, match=r'tifffile.*pip install "sam-ft\[tiff\]"'):
        read_image(path)
