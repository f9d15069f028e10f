from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_ft.data.sa1b import Sa1bSamples, sa1b_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.masks.rle import encode
from sam_ft.masks.rle_coco import to_coco

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
MASKS = np.zeros((2, 6, 8), dtype=np.bool_)
MASKS[0, 1:3, 2:7] = MASKS[1, 2, 3] = True

SHORT = {"size": [6, 8], "counts": "1"}


def described(masks: np.ndarray = MASKS, **others: Any) -> dict[str, Any]:
    image = {"image_id": 1, "height": 6, "width": 8, "file_name": "sa_1.jpg"}
    annotations = [{"id": 40 + place, "segmentation": mask} for place, mask in enumerate(to_coco(encode(masks)))]
    return {"image": image, "annotations": annotations, **others}


def save(folder: Path, name: str, content: dict[str, Any] | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURE).save(folder / f"{name}.png")
    (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_masks_are_read_from_the_file_beside_the_image(tmp_path: Path) -> None:
    save(tmp_path, "sa_2", described())
    save(tmp_path / "more", "sa_1", described(MASKS[:0]))
    deeper, sample = Sa1bSamples(tmp_path, class_name="thing")
    assert (deeper.name, len(deeper.masks), sample.name) == ("more_sa_1", 0, "sa_2")
    assert np.array_equal(sample.masks.numpy(), MASKS) and sample.class_names == ("thing", "thing")
    assert np.array_equal(sample.image.numpy(), PICTURE)
    assert len(Sa1bSamples(tmp_path, min_area_px=2)[1].masks) == 1


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "a.json, but it cannot be decoded"),
        ("[]", "object in .*a.json, but got a list"),
        (json.dumps(described())[:-30], "a.json, but it cannot be decoded"),
        (described(image=None), "`image` and an array `annotations` in .*a.json"),
        (described(annotations={}), "`image` and an array `annotations` in .*a.json"),
        (described(image={"height": 8, "width": 6}), r"a.png .*\(8, 6\), as .*a.json says, but got \(6, 8\)"),
        (described(annotations=[3]), r"a.json, annotation that is no object \(number 0\)"),
        (described(annotations=[{"id": 5}]), r"a.json, annotation 5 \(number 0\): .* but got None"),
        (described(MASKS.transpose(0, 2, 1)), r"a.json, annotation 40 \(number 0\): .*\(6, 8\), but mask 0 is of"),
        (
            described(annotations=[*described()["annotations"], {"id": 9, "segmentation": SHORT}]),
            r"a.json, annotation 9 \(number 2\): .* have 1",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, content: dict[str, Any] | str, message: str) -> None:
    save(tmp_path, "a", content)
    with pytest.raises(ValueError, match=message):
        Sa1bSamples(tmp_path)[0]


def test_lone_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images and their JSON files in .*, but got an empty folder"):
        Sa1bSamples(tmp_path)
    save(tmp_path, "a", described())
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(ValueError, match="b.json has no image"):
        Sa1bSamples(tmp_path)
    (tmp_path / "b.json").rename(tmp_path / "c.txt")
    (tmp_path / "a.json").unlink()
    with pytest.raises(ValueError, match="a.png has no JSON file"):
        Sa1bSamples(tmp_path)
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="one image named a in .*a.jpg and .*a.png"):
        Sa1bSamples(tmp_path)


def test_parts_are_folders_or_divided(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / "all", name, described())
    splits = sa1b_splits(tmp_path / "all", split=GroupSplit(val=["c"], test=0))
    assert splits.val[0].name == "c" and len(splits.train) == 3
    (tmp_path / "all").rename(tmp_path / "train")
    save(tmp_path / "val", "e", described())
    Image.fromarray(255 - PICTURE).save(tmp_path / "val" / "e.png")
    splits = sa1b_splits(tmp_path, split=GroupSplit())
    assert len(splits.train) == 4 and splits.val[0].name == "e" and splits.test is None
