from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from sam_ft.data.image_files import read_image
from sam_ft.data.splits import GroupSplit
from sam_ft.data.tiff_files import open_tiff
from sam_ft.data.tiff_stacks import TiffStacks, tiff_stacks_splits

PAGES = np.random.default_rng(0).integers(0, 5000, (4, 20, 24)).astype(np.uint16)
LABELS = np.zeros((4, 20, 24), dtype=np.uint16)
LABELS[1, 2:6, 3:8] = 1
LABELS[1, 10:14, 3:8] = 300
LABELS[3, 2:6, 3:8] = 1


def save(folder: Path, stem: str, pages: np.ndarray = PAGES, labels: np.ndarray = LABELS, **options: Any) -> None:
    for kind, content, given in (("images", pages, options), ("labels", labels, {})):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / kind / f"{stem}.tif", content, photometric="minisblack", **given)


def stacks(folder: Path, **options: Any) -> TiffStacks:
    return TiffStacks(folder / "images", folder / "labels", **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"compression": "zlib", "metadata": {"axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}, "tile": (16, 16), "compression": "zlib"},
        {"byteorder": ">"},
        {"bigtiff": True},
    ],
)
def test_every_page_with_an_object_is_a_sample(tmp_path: Path, options: dict[str, Any]) -> None:
    save(tmp_path, "a", **options)
    dataset = stacks(tmp_path, range=[0, 5000])
    assert [sample.name for sample in dataset] == ["a_001", "a_003"]
    first = dataset[0]
    assert first.masks.flatten(1).sum(dim=1).tolist() == [20, 20] and first.masks[1, 10, 3]
    assert np.array_equal(first.image[..., 0], np.rint(PAGES[1] * np.float32(255 / 5000)).astype(np.uint8))


AXES = [
    ("TZCYX", {"imagej": True, "metadata": {"axes": "TZCYX"}}, None),
    ("CZYX", {"compression": "zlib", "metadata": {"axes": "CZYX"}}, None),
    ("ZCYX", {"ome": True, "metadata": {"axes": "ZCYX"}}, None),
    ("ZCYX", {}, "ZCYX"),
]


@pytest.mark.parametrize("axes, options, given", AXES)
def test_channels_and_pages_are_told_apart_by_the_axes(
    tmp_path: Path, axes: str, options: dict[str, Any], given: str | None
) -> None:
    sizes = {"T": 2, "Z": 2, "C": 3, "Y": 20, "X": 24}
    numbers = np.arange(np.prod([sizes[letter] for letter in axes])).reshape([sizes[letter] for letter in axes])
    page_axes = [letter for letter in axes if letter not in "CYX"]
    order = [axes.index(letter) for letter in [*page_axes, "Y", "X", "C"]]
    expected = numbers.transpose(order).reshape(-1, 20, 24, 3).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", numbers.astype(np.uint16), photometric="minisblack", **options)
    pictures = open_tiff(tmp_path / "a.tif", axes=given)
    assert len(pictures) == len(expected) and pictures.size == (20, 24)
    for index, page in enumerate(expected):
        assert np.array_equal(pictures.picture(index), page)


@pytest.mark.parametrize("count", [2, 4])
def test_no_channel_of_a_microscope_is_taken_for_an_alpha_channel(tmp_path: Path, count: int) -> None:
    save(tmp_path, "a", np.stack([PAGES] * count, axis=1), imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(ValueError, match=f"choice of the {count} channels in .*images/a.tif"):
        stacks(tmp_path)
    assert stacks(tmp_path, channels=[1])[0].image.max() == 255
    path = tmp_path / "one.tif"
    tifffile.imwrite(path, np.stack([PAGES[0]] * count), imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(ValueError, match=f"choice of the {count} channels in .*one.tif"):
        read_image(path)


def test_pages_in_colour_are_read(tmp_path: Path) -> None:
    pages = np.random.default_rng(1).integers(0, 256, (4, 20, 24, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb")
    assert np.array_equal(open_tiff(tmp_path / "a.tif").picture(2), pages[2])


def test_one_brightness_means_the_same_in_all_pages_of_a_stack(tmp_path: Path) -> None:
    pages = np.stack([np.full((20, 24), level, dtype=np.uint16) for level in (0, 1000, 2000, 4000)])
    save(tmp_path, "a", pages)
    levels = [int(sample.image[10, 10, 0]) for sample in stacks(tmp_path)]
    assert levels == [64, 255]


def test_the_pages_of_a_stack_stay_in_one_part(tmp_path: Path) -> None:
    for stem in "abcd":
        save(tmp_path, stem)
    splits = tiff_stacks_splits(tmp_path, split=GroupSplit(val=["b"], test=["c"]))
    assert [sample.name for sample in splits.val] == ["b_001", "b_003"] and len(splits.train) == 4
    assert splits.train[0].image.shape == (20, 24, 3)


def test_a_sample_without_its_image_has_the_same_objects(tmp_path: Path) -> None:
    save(tmp_path, "a")
    dataset = stacks(tmp_path, min_area_px=20)
    assert dataset.without_image(1).masks.equal(dataset[1].masks) and dataset.without_image(1).image.max() == 0
    with pytest.raises(ValueError, match="object of 21 pixels or more in the 4 pages of .*labels"):
        stacks(tmp_path, min_area_px=21)


def test_pages_without_object_are_counted_in_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, "a")
    stacks(tmp_path)
    assert "2 of 4 pages in" in caplog.text


@pytest.mark.parametrize(
    "pages, labels, options, message",
    [
        (PAGES[:3], LABELS, {}, r"labels/a.tif with the pages of .*a.tif, \(3,\) of \(20, 24\), but got \(4,\)"),
        (PAGES[:, :9], LABELS, {}, r"\(4,\) of \(9, 24\), but got \(4,\) of \(20, 24\)"),
        (PAGES, LABELS.astype(np.float32) + 0.5, {}, "whole object numbers in .*labels/a.tif"),
        (PAGES, np.stack([LABELS] * 3, axis=-1), {}, r"labels/a.tif, but its shape is \(4, 20, 24, 3\)"),
        (PAGES, LABELS, {"axes": "ZCYX"}, r"images/a.tif, but its shape is \(4, 20, 24\) and its axes are ZCYX"),
        (PAGES, LABELS, {"axes": "ZYY"}, "data.axes says"),
        (np.stack([PAGES] * 5, axis=1), LABELS, {"axes": "ZCYX"}, r"choice of the 5 channels in .*a.tif"),
    ],
)  # fmt: skip
def test_stacks_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, pages: np.ndarray, labels: np.ndarray, options: dict[str, Any], message: str
) -> None:
    save(tmp_path, "a", pages, labels)
    with pytest.raises(ValueError, match=message):
        stacks(tmp_path, **options)[0]


def test_files_that_are_no_stack_are_named(tmp_path: Path) -> None:
    save(tmp_path, "a")
    path = tmp_path / "images" / "a.tif"
    content = path.read_bytes()
    for broken in (b"", b"not a TIFF", content[:4], content[:100]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="images/a.tif"):
            stacks(tmp_path)[0]
    with tifffile.TiffWriter(path) as file:
        file.write(PAGES[0], metadata=None)
        file.write(PAGES[0, :5], metadata=None)
    with pytest.raises(ValueError, match="images/a.tif, but it holds 2 images of different sizes"):
        stacks(tmp_path)
    (tmp_path / "images" / "a.tif").unlink()
    np.save(tmp_path / "images" / "a.npy", PAGES)
    with pytest.raises(ValueError, match="ending in .tif or .tiff, but got .*a.npy"):
        stacks(tmp_path)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_stack_is_a_clear_error_or_still_pictures(tmp_path: Path, options: dict[str, Any]) -> None:
    save(tmp_path, "a", **options)
    path = tmp_path / "images" / "a.tif"
    content, random = path.read_bytes(), np.random.default_rng(0)
    refused = unnamed = 0
    for _ in range(100):
        damaged = bytearray(content)
        for place in random.integers(0, 300, 3):
            damaged[place] = random.integers(256)
        path.write_bytes(bytes(damaged[: random.integers(10, len(content))] if random.random() < 0.3 else damaged))
        try:
            pictures = open_tiff(path)
            assert all(pictures.picture(index).shape[:2] == pictures.size for index in range(min(len(pictures), 5)))
        except ValueError as err:
            refused += 1
            unnamed += str(path) not in str(err)
    assert refused > 20 and unnamed == 0


def test_a_compression_that_needs_another_package_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    save(tmp_path, "a")
    path = tmp_path / "images" / "a.tif"
    with tifffile.TiffFile(path, mode="r+b") as file:
        for page in file.pages:
            page.tags["Compression"].overwrite(34934)  # JPEG 2000
    with pytest.raises(ValueError, match="TIFF image in .*images/a.tif, but"):
        stacks(tmp_path)[0]
