from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_ft.data.instance_maps import InstanceMaps
from sam_ft.data.manifest import ManifestColumns, manifest_splits, read_manifest
from sam_ft.data.splits import DataSplits, GroupSplit

PICTURE = np.random.default_rng(0).integers(20, 60, (6, 8, 3)).astype(np.uint8)
LABELS = np.zeros((6, 8), dtype=np.uint16)
LABELS[0:2, 0:3] = 1
LABELS[4, 4] = 700


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "d", "deep/a"):
        (tmp_path / "deep").mkdir(exist_ok=True)
        Image.fromarray(PICTURE).save(tmp_path / f"{name}.png")
    Image.fromarray(LABELS).save(tmp_path / "labels.png")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "cells.csv"
    path.write_text(text.replace(" ", "\n") + "\n", encoding="utf-8")
    return path


def names_of(splits: DataSplits) -> list[list[str]]:
    return [[sample.name for sample in part] for part in (splits.train, splits.val, splits.test) if part is not None]  # type: ignore[attr-defined]


def test_label_maps_give_a_mask_per_value(folder: Path) -> None:
    rows = read_manifest(write(folder, "image,mask a.png,labels.png"), ManifestColumns())
    [sample] = InstanceMaps(rows, class_name="cell")
    assert sample.masks.flatten(1).sum(dim=1).tolist() == [6, 1] and sample.class_names == ("cell", "cell")
    assert np.array_equal(sample.image.numpy(), PICTURE) and sample.name == "a"
    assert len(InstanceMaps(rows, min_area_px=2)[0].masks) == 1
    assert InstanceMaps(rows, stretch=True)[0].image.max() == 255


def test_without_its_image_a_row_is_the_same_and_of_the_file_the_header_alone_is_read(folder: Path) -> None:
    rows = read_manifest(write(folder, "image,mask a.png,labels.png"), ManifestColumns())
    samples = InstanceMaps(rows)
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:60])
    blank = samples.without_image(0)
    assert blank.masks.flatten(1).sum(dim=1).tolist() == [6, 1] and blank.image.shape == (6, 8, 3)
    with pytest.raises(ValueError, match=r"a.png, but it cannot be decoded"):
        samples[0]


def test_the_table_says_the_parts(folder: Path) -> None:
    path = write(
        folder, "split,group,image,mask train,p,a.png,labels.png val,q,b.png,labels.png train,p,c.png,labels.png"
    )
    assert names_of(manifest_splits(path, split=GroupSplit())) == [["a", "c"], ["b"]]
    path = write(folder, f"split,image,mask train,a.png,labels.png val,{folder}/b.png,labels.png test,c.png,labels.png")
    assert names_of(manifest_splits(path, split=GroupSplit())) == [["a"], ["b"], ["c"]]


def test_groups_are_divided_where_the_table_says_no_parts(folder: Path) -> None:
    path = write(
        folder, "bild,mask,patient a.png,labels.png,p b.png,labels.png,q c.png,labels.png,p d.png,labels.png,r"
    )
    columns = ManifestColumns(image="bild", group="patient")
    splits = manifest_splits(path, columns=columns, split=GroupSplit(val=["q"], test=0))
    assert names_of(splits) == [["a", "c", "d"], ["b"]]


def test_without_groups_every_image_is_its_own(folder: Path) -> None:
    path = write(folder, "image,mask a.png,labels.png b.png,labels.png deep/a.png,labels.png")
    splits = manifest_splits(path, split=GroupSplit(val=["b.png"], test=0))
    assert names_of(splits) == [["a.png", "deep_a.png"], ["b"]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", r"columns image and mask in .*cells.csv, but got no image and no mask"),
        ("image,label a.png,labels.png", r"cells.csv, but got no mask \(image, label\)"),
        ("image,mask", "rows in .*cells.csv, but there is only a header"),
        ("image,mask a.png,", "value of mask in line 2 of .*cells.csv, but it is empty"),
        ("image,mask a.png", "value of mask in line 2 of .*cells.csv, but it is empty"),
        ("image,mask a.png,labels.png,train", "Expected 2 values in line 2 of .*cells.csv, but got more"),
        ("image,mask a.png,labels.png x.png,labels.png", "file .*x.png, which line 3 of .*cells.csv names"),
        (
            "image,mask a.png,labels.png a.png,labels.png",
            "each image once in .*cells.csv, but .*a.png is there 2 times",
        ),
        ("image,mask,split a.png,labels.png,dev", "split of train, val, test in line 2 of .*cells.csv, but got 'dev'"),
        ("image,mask,split a.png,labels.png,train", "train and val in the column split of .*cells.csv, .* none of val"),
        (
            "image,mask,split,group a.png,labels.png,train,p b.png,labels.png,val,p",
            r"group in one part in .*cells.csv, but p is in train \(a.png\) and in val \(b.png\)",
        ),
        ('image,mask "a.png,labels.png', "cells.csv, but it cannot be read"),
    ],
)
def test_a_wrong_table_is_named_with_the_line(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        manifest_splits(write(folder, text), split=GroupSplit())


def test_a_file_that_is_no_table_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="a.png, but it cannot be read"):
        manifest_splits(folder / "a.png", split=GroupSplit())
    with pytest.raises(ValueError, match="nowhere.csv, but it cannot be read"):
        manifest_splits(folder / "nowhere.csv", split=GroupSplit())


def test_a_label_map_of_another_size_is_named_with_its_image(folder: Path) -> None:
    Image.fromarray(LABELS.T).save(folder / "labels.png")
    rows = read_manifest(write(folder, "image,mask a.png,labels.png"), ManifestColumns())
    with pytest.raises(ValueError, match=r"labels.png of the size of its image .*a.png"):
        InstanceMaps(rows)[0]
