from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam_ft.data.image_files import read_image, read_label_map
from sam_ft.data.image_mask import ImageMaskFolder, image_mask_splits
from sam_ft.data.pixels import stretched
from sam_ft.data.splits import GroupSplit

LABELS = np.zeros((6, 8), dtype=np.uint16)
LABELS[0:2, 0:3] = 1
LABELS[4, 4] = 700
PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


def save_pair(folder: Path, stem: str, *, labels: np.ndarray = LABELS) -> None:
    save(folder / "images" / f"{stem}.png", PICTURE)
    save(folder / "labels" / f"{stem}.png", labels)


def folder_of(folder: Path, **options: int) -> ImageMaskFolder:
    return ImageMaskFolder(folder / "images", folder / "labels", **options)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_sixteen_bit_label_maps_give_one_mask_per_value(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / "images" / "cell.png", PICTURE)
    save(tmp_path / "labels" / f"cell{suffix}", LABELS)
    sample = folder_of(tmp_path)[0]
    assert torch.equal(sample.image, torch.from_numpy(PICTURE))
    assert sample.masks.flatten(1).sum(dim=1).tolist() == [6, 1]
    assert sample.masks[1, 4, 4] and sample.class_names == ("object", "object") and sample.name == "cell"


def test_small_objects_are_left_out(tmp_path: Path) -> None:
    save_pair(tmp_path, "cell")
    assert len(folder_of(tmp_path, min_area_px=2)[0].masks) == 1


def test_images_without_objects_are_counted_in_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_pair(tmp_path, "a")
    save_pair(tmp_path, "b", labels=LABELS * 0)
    assert [sample.name for sample in folder_of(tmp_path)] == ["a"]
    assert "1 of 2 images" in caplog.text


def test_no_object_at_all_is_an_error(tmp_path: Path) -> None:
    save_pair(tmp_path, "a", labels=LABELS * 0)
    with pytest.raises(ValueError, match="in the 1 label maps of .*labels, but none remains"):
        folder_of(tmp_path)


def test_lone_files_are_named(tmp_path: Path) -> None:
    save_pair(tmp_path, "a")
    save(tmp_path / "images" / "b.png", PICTURE)
    with pytest.raises(ValueError, match="b.png has no label"):
        folder_of(tmp_path)
    (tmp_path / "images" / "b.png").unlink()
    save(tmp_path / "labels" / "c.png", LABELS)
    with pytest.raises(ValueError, match="c.png has no image"):
        folder_of(tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    save_pair(tmp_path, "a")
    save(tmp_path / "labels" / "a.tif", LABELS)
    with pytest.raises(ValueError, match="a.png and .*a.tif"):
        folder_of(tmp_path)


def test_a_label_map_of_another_size_is_refused(tmp_path: Path) -> None:
    save_pair(tmp_path, "a", labels=LABELS.T)
    with pytest.raises(ValueError, match=r"labels/a.png .*\(6, 8\), but got \(8, 6\)"):
        folder_of(tmp_path)


def test_files_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    save_pair(tmp_path, "a")
    image = tmp_path / "images" / "a.png"
    dataset = folder_of(tmp_path)
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(ValueError, match="images/a.png.*cannot be decoded"):
        dataset[0]
    (tmp_path / "labels" / "a.png").write_text("not a picture")
    with pytest.raises(ValueError, match="labels/a.png.*cannot be decoded"):
        folder_of(tmp_path)


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images, but there is none"):
        folder_of(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").touch()
    with pytest.raises(ValueError, match="notes.txt"):
        folder_of(tmp_path)


def test_grey_palette_and_alpha_become_rgb(tmp_path: Path) -> None:
    grey = PICTURE[..., 0]
    assert np.array_equal(read_image(save(tmp_path / "grey.png", grey)), np.stack([grey] * 3, axis=-1))
    rgba = np.dstack([PICTURE, np.full((6, 8), 9, dtype=np.uint8)])
    assert np.array_equal(read_image(save(tmp_path / "rgba.png", rgba)), PICTURE)
    palette = Image.fromarray(grey // 128).convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "palette.png")
    assert {tuple(pixel) for pixel in read_image(tmp_path / "palette.png").reshape(-1, 3)} == {
        (255, 0, 0), (0, 0, 255),
    }  # fmt: skip
    assert np.array_equal(read_label_map(tmp_path / "palette.png"), grey // 128)


def test_twelve_bits_in_sixteen_are_scaled_to_the_full_range(tmp_path: Path) -> None:
    ramp = np.linspace(100, 4000, 100 * 100).reshape(100, 100).astype(np.uint16)
    for name in ("ramp.png", "ramp.tif", "ramp.npy"):
        image = read_image(save(tmp_path / name, ramp))
        assert image.dtype == np.uint8 and image.min() == 0 and image.max() == 255
        assert abs(int(image[50, 0, 0]) - 128) < 3


def test_a_dim_image_is_stretched_to_the_whole_range_if_asked(tmp_path: Path) -> None:
    dim = np.linspace(10, 40, 100 * 100).reshape(100, 100).astype(np.uint8)
    save(tmp_path / "images" / "a.png", dim)
    save(tmp_path / "labels" / "a.png", (dim > 30).astype(np.uint8))
    as_it_is, stretched = (
        ImageMaskFolder(tmp_path / "images", tmp_path / "labels", stretch=stretch)[0] for stretch in (False, True)
    )
    assert as_it_is.image.max() == 40 and torch.equal(as_it_is.masks, stretched.masks)
    assert stretched.image.min() == 0 and stretched.image.max() == 255
    assert abs(int(stretched.image[50, 0, 0]) - 128) < 5


def test_an_image_of_one_value_stays_what_it_is_when_stretched() -> None:
    image = np.full((5, 6, 3), 77, dtype=np.uint8)
    assert np.array_equal(stretched(image), image)


def test_a_label_map_in_colours_or_with_fractions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one channel.*\(6, 8, 3\)"):
        read_label_map(save(tmp_path / "colours.png", PICTURE))
    with pytest.raises(ValueError, match="fractions"):
        read_label_map(save(tmp_path / "soft.npy", np.full((3, 3), 0.5)))
    with pytest.raises(ValueError, match="0 .background. and above"):
        read_label_map(save(tmp_path / "negative.npy", np.full((3, 3), -1)))


def test_a_file_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(PICTURE[..., channel]) for channel in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match="stack.tif.*3 pages"):
        read_image(tmp_path / "stack.tif")


def test_folders_called_train_and_val_are_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, stems in (("train", "ab"), ("val", "c")):
        for stem in stems:
            save_pair(tmp_path / part, stem)
    save(tmp_path / "val" / "images" / "c.png", 255 - PICTURE)
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path))
    splits = image_mask_splits("$SOME_FOLDER", split=GroupSplit())
    assert [sample.name for sample in splits.train] == ["a", "b"] and splits.val[0].name == "c"
    assert splits.test is None


def test_files_in_one_folder_are_divided_by_the_rule(tmp_path: Path) -> None:
    for stem in "abcdefghij":
        save_pair(tmp_path, stem)
    splits = image_mask_splits(tmp_path, split=GroupSplit(val=["c"], test=0.3))
    names = [[sample.name for sample in part] for part in (splits.train, splits.val, splits.test) if part is not None]
    assert names[1] == ["c"] and len(names[2]) == 3 and {*names[0], *names[1], *names[2]} == set("abcdefghij")


def test_a_root_without_either_layout_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match="images and labels, or train and val .*pictures"):
        image_mask_splits(tmp_path, split=GroupSplit())
    with pytest.raises(ValueError, match="no such folder"):
        image_mask_splits(tmp_path / "nowhere", split=GroupSplit())


@pytest.mark.data
def test_the_nuclei_are_read_with_all_their_instances(data_folder: Path) -> None:
    dataset = ImageMaskFolder(data_folder / "nuclei/val/images", data_folder / "nuclei/val/labels")
    assert len(dataset) == 58
    assert sum(len(sample.masks) for sample in dataset) == 1765 + 935 + 132
