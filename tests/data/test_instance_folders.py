from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_ft.data.instance_folders import InstanceMaskFolder, instance_folders_splits
from sam_ft.data.splits import GroupSplit

PICTURE = np.random.default_rng(0).integers(20, 60, (6, 8, 3)).astype(np.uint8)
MASKS = np.zeros((2, 6, 8), dtype=np.uint8)
MASKS[0, 1:4, 2:7] = 255
MASKS[1, 3:5, 5] = 1


def save(folder: Path, name: str, masks: np.ndarray = MASKS) -> Path:
    for kind in ("images", "masks"):
        (folder / name / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURE).save(folder / name / "images" / f"{name}.png")
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / name / "masks" / f"{number}.png")
    return folder / name


def test_every_file_is_one_object_and_objects_may_overlap(tmp_path: Path) -> None:
    save(tmp_path, "b")
    save(tmp_path, "a", MASKS[1:])
    other, sample = InstanceMaskFolder(tmp_path, class_name="nucleus")
    assert (other.name, sample.name) == ("a", "b") and len(other.masks) == 1
    assert np.array_equal(sample.masks.numpy(), MASKS > 0) and sample.masks.all(dim=0).any()
    assert sample.class_names == ("nucleus", "nucleus") and np.array_equal(sample.image.numpy(), PICTURE)


def test_small_objects_and_empty_masks_are_left_out(tmp_path: Path) -> None:
    save(tmp_path, "a", np.concatenate([MASKS, MASKS[:1] * 0]))
    assert len(InstanceMaskFolder(tmp_path)[0].masks) == 2
    assert len(InstanceMaskFolder(tmp_path, min_area_px=3)[0].masks) == 1
    assert InstanceMaskFolder(tmp_path, min_area_px=30)[0].masks.shape == (0, 6, 8)


def test_an_image_may_be_stretched(tmp_path: Path) -> None:
    save(tmp_path, "a")
    assert InstanceMaskFolder(tmp_path, stretch=True)[0].image.max() == 255


def test_a_mask_of_another_size_or_in_colours_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path, "a", MASKS.transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"masks/0.png .*images/a.png, \(6, 8\), but got \(8, 6\)"):
        InstanceMaskFolder(tmp_path)[0]
    Image.fromarray(PICTURE).save(folder / "masks" / "0.png")
    with pytest.raises(ValueError, match="one channel of object numbers in .*masks/0.png"):
        InstanceMaskFolder(tmp_path)[0]
    (folder / "masks" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="masks/0.png, but it cannot be decoded"):
        InstanceMaskFolder(tmp_path)[0]


def test_folders_without_an_image_or_a_mask_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folders with images and masks, but got an empty folder"):
        InstanceMaskFolder(tmp_path)
    folder = save(tmp_path, "a", MASKS[:0])
    with pytest.raises(ValueError, match="at least one mask in .*a/masks, but got an empty folder"):
        InstanceMaskFolder(tmp_path)
    save(tmp_path, "a")
    Image.fromarray(PICTURE).save(folder / "images" / "second.png")
    with pytest.raises(ValueError, match="one image in .*a/images, but got a.png, second.png"):
        InstanceMaskFolder(tmp_path)
    with pytest.raises(ValueError, match="nowhere to hold folders .* no such folder"):
        InstanceMaskFolder(tmp_path / "nowhere")


def test_parts_are_folders_or_divided(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / "all", name)
    splits = instance_folders_splits(tmp_path / "all", split=GroupSplit(val=["c"], test=["a"]))
    assert splits.test is not None
    assert [[sample.name for sample in part] for part in (splits.train, splits.val, splits.test)] == [
        ["b", "d"], ["c"], ["a"],
    ]  # fmt: skip
    (tmp_path / "all").rename(tmp_path / "train")
    folder = save(tmp_path / "val", "e")
    Image.fromarray(255 - PICTURE).save(folder / "images" / "e.png")
    splits = instance_folders_splits(tmp_path, split=GroupSplit())
    assert len(splits.train) == 4 and splits.val[0].name == "e" and splits.test is None
