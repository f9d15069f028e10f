from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from sam_ft.data.folds import FoldSplit
from sam_ft.data.image_mask import image_mask_splits
from sam_ft.data.instance_folders import instance_folders_splits
from sam_ft.data.medsam.parts import medsam_splits
from sam_ft.data.sa1b import sa1b_splits
from sam_ft.data.semantic_maps import semantic_maps_splits
from sam_ft.data.splits import DataSplits, GroupSplit
from sam_ft.data.tiff_stacks import tiff_stacks_splits
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.masks.rle import encode
from sam_ft.masks.rle_coco import to_coco

Write = Callable[[Path, str, np.ndarray], None]
LABELS = np.zeros((12, 16), dtype=np.uint8)
LABELS[2:8, 3:9] = 1


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 16)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_pair(folder: Path, name: str, image: np.ndarray) -> None:
    save(folder / "images" / f"{name}.png", image)
    save(folder / "labels" / f"{name}.png", LABELS)


def write_masks(folder: Path, name: str, image: np.ndarray) -> None:
    save(folder / name / "images" / "image.png", image)
    save(folder / name / "masks" / "1.png", LABELS)


def write_json(folder: Path, name: str, image: np.ndarray) -> None:
    save(folder / f"{name}.png", image)
    [mask] = to_coco(encode(LABELS[None] > 0))
    described = {"image": {"height": 12, "width": 16}, "annotations": [{"id": 1, "segmentation": mask}]}
    (folder / f"{name}.json").write_text(json.dumps(described))


def write_stack(folder: Path, name: str, image: np.ndarray) -> None:
    for kind, pages in (("images", [image, image[::-1]]), ("labels", [LABELS, LABELS])):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / kind / f"{name}.tif", np.stack(pages), photometric="minisblack")


def write_npy(folder: Path, name: str, image: np.ndarray) -> None:
    for kind, pixels in (("imgs", image), ("gts", LABELS)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        np.save(folder / kind / f"{name}.npy", pixels)


def write_npz(folder: Path, name: str, image: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", imgs=np.stack([image] * 4), gts=np.stack([LABELS] * 4), spacing=np.ones(3))


SMALL = partial(medsam_splits, objects=ObjectRule(min_area_px=1))
FOLDERS: list[tuple[Callable[..., DataSplits], Write]] = [
    (image_mask_splits, write_pair),
    (partial(semantic_maps_splits, classes={"thing": 1}), write_pair),
    (instance_folders_splits, write_masks),
    (sa1b_splits, write_json),
    (tiff_stacks_splits, write_stack),
    (SMALL, write_npy),
    (SMALL, write_npz),
]


def names(part: Iterable) -> set[str]:
    return {sample.name[:4] for sample in part}


@pytest.mark.parametrize("splits, write", FOLDERS)
def test_one_image_in_two_folders_that_are_parts_is_refused(
    tmp_path: Path, splits: Callable[..., DataSplits], write: Write
) -> None:
    for seed, (part, name) in enumerate((("train", "p1_a"), ("train", "p1_b"), ("val", "p2_a"), ("test", "p3_a"))):
        write(tmp_path / part, name, picture(seed))
    assert len(splits(tmp_path, split=GroupSplit()).train) >= 2
    write(tmp_path / "test", "p3_b", picture(1))
    with pytest.raises(ValueError, match=r"train/.*p1_b.* \(train\) and .*test/.*p3_b.* \(test\) have the same"):
        splits(tmp_path, split=GroupSplit())


@pytest.mark.parametrize("splits, write", FOLDERS)
def test_one_group_in_two_folders_that_are_parts_is_refused(
    tmp_path: Path, splits: Callable[..., DataSplits], write: Write
) -> None:
    for seed, (part, name) in enumerate((("train", "p1_a"), ("val", "p2_a"), ("val", "p1_b"))):
        write(tmp_path / part, name, picture(seed))
    assert names(splits(tmp_path, split=GroupSplit()).val) == {"p2_a", "p1_b"}
    with pytest.raises(ValueError, match=r"p1 is in train \(.*train/.*p1_a.*\) and in val \(.*val/.*p1_b"):
        splits(tmp_path, split=GroupSplit(), group="(p[0-9])_")


@pytest.mark.parametrize("splits, write", FOLDERS)
def test_a_rule_keeps_images_of_a_group_in_one_part_and_one_fold(
    tmp_path: Path, splits: Callable[..., DataSplits], write: Write
) -> None:
    for seed, name in enumerate(("p1_a", "p1_b", "p2_a", "p2_b", "p3_a")):
        write(tmp_path, name, picture(seed))
    given = splits(tmp_path, split=GroupSplit(val=["p2"], test=["p3"]), group="(p[0-9])_")
    assert given.test is not None and names(given.test) == {"p3_a"}
    assert (names(given.train), names(given.val)) == ({"p1_a", "p1_b"}, {"p2_a", "p2_b"})
    folds = [names(splits(tmp_path, split=FoldSplit(fold, 3), group="(p[0-9])_").val) for fold in range(3)]
    assert sorted(map(sorted, folds)) == [["p1_a", "p1_b"], ["p2_a", "p2_b"], ["p3_a"]]
    with pytest.raises(ValueError, match="`group` to match every image's path, but 'patient'"):
        splits(tmp_path, split=GroupSplit(), group="patient")


@pytest.mark.parametrize("splits, write", FOLDERS[:4])
def test_without_its_image_a_sample_is_the_same_and_of_the_file_the_header_alone_is_read(
    tmp_path: Path, splits: Callable[..., DataSplits], write: Write
) -> None:
    for seed, name in enumerate(("p1_a", "p2_a")):
        write(tmp_path, name, picture(seed))
    part: Any = splits(tmp_path, split=GroupSplit(val=["p1_a"], test=0)).val
    sample, blank = part[0], part.without_image(0)
    assert sample.image.any() and blank.image.shape == sample.image.shape and not blank.image.any()
    assert torch.equal(blank.masks, sample.masks) and len(blank.masks) == 1
    assert (blank.class_names, blank.name) == (sample.class_names, sample.name)
    [path] = part.image_files
    path.write_bytes(path.read_bytes()[:80])
    assert torch.equal(part.without_image(0).masks, sample.masks)
    with pytest.raises(ValueError, match="cannot be decoded"):
        part[0]


def test_label_maps_may_be_the_same_in_two_parts(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "val")):
        write_pair(tmp_path / part, "a", picture(seed))
    shutil.copy(tmp_path / "train" / "labels" / "a.png", tmp_path / "val" / "labels" / "a.png")
    assert len(image_mask_splits(tmp_path, split=GroupSplit()).val) == 1
