from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sam_ft.data.coco import CocoSamples, coco_splits
from sam_ft.data.coco_annotations import read_coco_annotations
from sam_ft.data.splits import GroupSplit
from sam_ft.masks.rle import encode
from sam_ft.masks.rle_coco import to_coco

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]
CORNER = np.zeros((6, 8), dtype=np.bool_)
CORNER[4:, 5:] = True


def annotation(identity: int, segmentation: object, **others: Any) -> dict[str, Any]:
    return {"id": identity, "image_id": 7, "category_id": 3, "segmentation": segmentation, "iscrowd": 0, **others}


def content(*annotations: dict[str, Any], images: tuple[int, ...] = (7,)) -> dict[str, Any]:
    described = [{"id": image, "file_name": f"{image}.png", "height": 6, "width": 8} for image in images]
    categories = [{"id": 3, "name": "cell"}, {"id": 9, "name": "dust"}]
    return {"info": {"a": [1]}, "images": described, "annotations": list(annotations), "categories": categories}


def write(folder: Path, given: dict[str, Any] | str) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for image in given["images"] if isinstance(given, dict) else ():
        Image.fromarray(PICTURE).save(folder / "images" / image["file_name"])
    (folder / "cells.json").write_text(given if isinstance(given, str) else json.dumps(given))
    return folder / "cells.json"


def samples_of(folder: Path, given: dict[str, Any], **options: Any) -> CocoSamples:
    return CocoSamples(write(folder, given), folder / "images", **options)


def runs(mask: np.ndarray, *, compress: bool) -> dict[str, Any]:
    return to_coco(encode(mask), compress=compress)[0]


def test_polygons_and_run_lengths_of_both_kinds_are_masks(tmp_path: Path) -> None:
    given = content(
        annotation(1, [SQUARE, [5, 0, 7, 0, 7, 2, 5, 2]]),
        annotation(2, runs(CORNER, compress=True), category_id=9),
        annotation(3, runs(~CORNER, compress=False)),
    )
    [sample] = samples_of(tmp_path, given)
    polygons = np.zeros((6, 8), dtype=np.bool_)
    polygons[1:3, 1:4] = polygons[0:2, 5:7] = True
    assert np.array_equal(sample.masks.numpy(), [polygons, CORNER, ~CORNER])
    assert sample.class_names == ("cell", "dust", "cell") and sample.name == "7" and sample.ignored is None
    assert torch.equal(sample.image, torch.from_numpy(PICTURE))


def test_arrays_and_annotations_may_come_in_any_order(tmp_path: Path) -> None:
    given = content(
        annotation(5, [SQUARE], image_id=8), annotation(4, runs(CORNER, compress=True)),
        annotation(3, [[0, 0, 8, 0, 8, 6, 0, 6], SQUARE], image_id=9), annotation(2, [SQUARE, SQUARE]),
        images=(9, 8, 7),
    )  # fmt: skip
    turned = samples_of(tmp_path, dict(reversed(given.items())))
    assert [[mask.sum().item() for mask in sample.masks] for sample in turned] == [[48], [6], [6, 6]]
    assert [sample.name for sample in turned] == ["9", "8", "7"]


def test_a_crowd_is_ignored_where_no_object_is(tmp_path: Path) -> None:
    crowd = np.zeros((6, 8), dtype=np.bool_)
    crowd[:, :3] = True
    given = content(annotation(1, [SQUARE]), annotation(2, runs(crowd, compress=False), iscrowd=1))
    [sample] = samples_of(tmp_path, given)
    assert len(sample.masks) == 1 and sample.ignored is not None
    assert np.array_equal(sample.ignored.numpy(), crowd & ~sample.masks[0].numpy())
    assert sample.ignored.sum() == 18 - 4


def test_categories_are_chosen_by_name_and_crowds_of_others_are_background(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = content(
        annotation(1, [SQUARE]), annotation(2, [SQUARE], category_id=9), annotation(3, [SQUARE], image_id=8),
        annotation(4, runs(CORNER, compress=True), iscrowd=1), images=(7, 8),
    )  # fmt: skip
    [sample] = samples_of(tmp_path, given, categories=["dust"])
    assert sample.class_names == ("dust",) and sample.ignored is None
    assert "1 of 2 images" in caplog.text
    with pytest.raises(ValueError, match=r"cells.json \(cell, dust\), but got cat"):
        samples_of(tmp_path, given, categories=["cat"])
    with pytest.raises(ValueError, match="a list of names, but got 'dust'"):
        samples_of(tmp_path, given, categories="dust")


def test_objects_without_enough_pixels_are_left_out(tmp_path: Path) -> None:
    between_the_middles = [2.1, 2.1, 2.3, 2.1, 2.3, 2.3]
    given = content(annotation(1, [between_the_middles]), annotation(2, [SQUARE], category_id=9))
    [sample] = samples_of(tmp_path, given)
    assert sample.class_names == ("dust",)
    assert len(samples_of(tmp_path, given, min_area_px=7)[0].masks) == 0


def test_an_image_of_another_size_than_the_file_says_is_refused(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, content(annotation(1, [SQUARE])))
    Image.fromarray(PICTURE[:5]).save(tmp_path / "images" / "7.png")
    with pytest.raises(ValueError, match=r"7.png .*\(6, 8\), as .*cells.json says of image 7, but got \(5, 8\)"):
        samples[0]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"image_id": 70}, "annotation 1 in .*cells.json to be of one of the images, but got 70"),
        ({"category_id": 4}, "annotation 1 in .*cells.json to be of one of the categories, but got 4"),
        ({"image_id": "7"}, "`image_id` of annotation 1 in .*cells.json, but got '7'"),
        ({"id": 2}, "each annotation once in .*cells.json, but 2 is there twice"),
        ({"id": None}, "the annotations in .*cells.json to have a whole `id`, but got None"),
        ({"iscrowd": 3}, "`iscrowd` of 0 or 1 of annotation 1 in .*cells.json, but got 3"),
        ({"segmentation": []}, "polygons or run lengths of annotation 1 in .*cells.json, but got .."),
        ({"segmentation": None}, "polygons or run lengths of annotation 1 .* but got None"),
        ({"segmentation": SQUARE}, "polygons or run lengths of annotation 1"),
        ({"segmentation": [SQUARE[:4]]}, r"3 corners or more, x and y in turn of annotation 1 .*\[1, 1, 4, 1\]"),
        ({"segmentation": [[*SQUARE, 1]]}, "3 corners or more, x and y in turn of annotation 1"),
        ({"segmentation": [[*SQUARE[:7], "3"]]}, "numbers in its `segmentation` of annotation 1"),
        ({"segmentation": [[*SQUARE[:7], float("nan")]]}, "finite corners of annotation 1 .*cells.json, but got nan"),
        ({"segmentation": {"size": [6, 8], "counts": [48, 1]}}, "cells.json, annotation 1: .* have 49"),
        ({"segmentation": {"size": [6, 8], "counts": "`"}}, "cells.json, annotation 1: .*ends inside a count"),
        ({"segmentation": {"size": [6, 8]}}, "cells.json, annotation 1: "),
        ({"segmentation": {"size": [8, 6], "counts": [48]}}, r"annotation 1 .* size \[6, 8\], but got \[8, 6\]"),
    ],
)  # fmt: skip
def test_a_wrong_annotation_is_named_with_its_file(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    given = content(annotation(2, [SQUARE]), {**annotation(1, [SQUARE]), **wrong})
    with pytest.raises(ValueError, match=message):
        samples_of(tmp_path, given)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"images": []}, "images in .*cells.json, but there are none"),
        ({"categories": []}, "categories in .*cells.json, but there are none"),
        ({"annotations": []}, "objects of cell, dust in the 1 images of .*cells.json, but there is none"),
        ({"categories": [{"id": 3}]}, "`name` of category 3 in .*cells.json, but got None"),
        ({"images": [{"id": 7, "file_name": "7.png", "height": "6", "width": 8}]}, "of image 7 in .*cells.json"),
        ({"images": [{"id": 7, "file_name": "7.png", "height": 6, "width": 8}] * 2}, "but 7 is there twice"),
    ],
)  # fmt: skip
def test_wrong_images_and_categories_are_named_with_their_file(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        samples_of(tmp_path, {**content(annotation(1, [SQUARE])), **wrong})


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, content(annotation(1, [SQUARE])))
    (tmp_path / "images" / "7.png").unlink()
    with pytest.raises(ValueError, match="image 7 of .*cells.json at .*images/7.png, but there is none"):
        CocoSamples(path, tmp_path / "images")


def test_names_are_unique_where_folders_or_suffixes_differ(tmp_path: Path) -> None:
    given = content(*[annotation(image, [SQUARE], image_id=image) for image in (7, 8, 9)], images=(7, 8, 9))
    for image, name in zip(given["images"], ("a.png", "a.jpg", "b/a.png"), strict=True):
        (tmp_path / "images" / "b").mkdir(parents=True, exist_ok=True)
        image["file_name"] = name
    assert [sample.name for sample in samples_of(tmp_path, given)] == ["a.png", "a.jpg", "b_a"]
    given["images"][1]["file_name"] = "a.png"
    with pytest.raises(ValueError, match="each `file_name` once in .*cells.json, but a.png is there twice"):
        samples_of(tmp_path, given)


def test_one_file_is_divided_by_images_and_several_are_the_parts(tmp_path: Path) -> None:
    images = tuple(range(1, 7))
    given = content(*[annotation(image, [SQUARE], image_id=image) for image in images], images=images)
    write(tmp_path, given)
    splits = coco_splits(tmp_path, annotations="cells.json", split=GroupSplit(val=["3.png"], test=0))
    assert [sample.name for sample in splits.val] == ["3"] and len(splits.train) == 5 and splits.test is None
    for part in ("train", "val"):
        (tmp_path / "cells.json").rename(write(tmp_path / part, given).parent.parent / f"cells_{part}.json")
        write(tmp_path, given)
    splits = coco_splits(tmp_path, annotations="cells_{part}.json", images="{part}/images", split=GroupSplit())
    assert len(splits.train) == len(splits.val) == 6 and splits.test is None
    (tmp_path / "cells_val.json").unlink()
    with pytest.raises(ValueError, match="annotations of val in .*cells_val.json"):
        coco_splits(tmp_path, annotations="cells_{part}.json", split=GroupSplit())


def test_what_a_loaders_process_gets_is_arrays_and_not_an_object_per_number(tmp_path: Path) -> None:
    circle = np.random.default_rng(0).uniform(0, 6, 200).round(2).tolist()
    path = write(tmp_path, content(*[annotation(identity, [circle]) for identity in range(1, 501)]))
    size = len(pickle.dumps(read_coco_annotations(path)))
    assert 500 * 200 * 8 < size < 500 * (200 * 8 + 80) + 2000


@pytest.mark.data
def test_nuclei_written_as_coco_are_read_as_they_were(data_folder: Path, tmp_path: Path) -> None:
    folder = data_folder / "nuclei/val"
    labels = sorted((folder / "labels").iterdir())[:3]
    images, annotations, expected = [], [], []
    for number, path in enumerate(labels):
        values = np.array(Image.open(path))
        masks = values == np.unique(values)[1:, None, None]
        height, width = values.shape
        images.append({"id": number, "file_name": f"{path.stem}.png", "height": height, "width": width})
        for place, described in enumerate(to_coco(encode(masks), compress=number == 0)):
            annotations.append(
                {"id": 1000 * number + place, "image_id": number, "category_id": 0, "segmentation": described}
            )
        expected.append(masks)
    given = {"annotations": annotations, "images": images, "categories": [{"id": 0, "name": "nucleus"}]}
    (tmp_path / "nuclei.json").write_text(json.dumps(given))
    samples = CocoSamples(tmp_path / "nuclei.json", folder / "images")
    for sample, masks in zip(samples, expected, strict=True):
        assert np.array_equal(sample.masks.numpy(), masks)


def test_a_rule_keeps_images_of_a_group_together_and_refuses_a_group_in_two_files(tmp_path: Path) -> None:
    def written(place: Path, names: tuple[str, ...]) -> Path:
        images = tuple(range(1, len(names) + 1))
        given = content(*[annotation(image, [SQUARE], image_id=image) for image in images], images=images)
        for image, name in zip(given["images"], names, strict=True):
            image["file_name"] = f"{name}.png"
        return write(place, given)

    written(tmp_path, ("p1_a", "p2_a", "p1_b", "p3_a"))
    rule = "/(p[0-9])_"
    splits = coco_splits(tmp_path, annotations="cells.json", split=GroupSplit(val=["p1"], test=0), group=rule)
    assert [[sample.name for sample in part] for part in (splits.train, splits.val)] == [  # type: ignore[attr-defined]
        ["p2_a", "p3_a"], ["p1_a", "p1_b"],
    ]  # fmt: skip
    written(tmp_path / "train", ("p1_a", "p2_a"))
    written(tmp_path / "val", ("p3_a", "p2_b"))
    files: dict[str, Any] = {"annotations": "{part}/cells.json", "images": "{part}/images", "split": GroupSplit()}
    assert len(coco_splits(tmp_path, **files).val) == 2
    with pytest.raises(ValueError, match=r"p2 is in train \(.*train/images/p2_a.png\) and in val \(.*p2_b.png\)"):
        coco_splits(tmp_path, group=rule, **files)


def test_without_its_image_a_sample_is_the_same_and_of_the_file_the_header_alone_is_read(tmp_path: Path) -> None:
    crowd = annotation(2, runs(CORNER, compress=True), iscrowd=1)
    samples = samples_of(tmp_path, content(annotation(1, [SQUARE]), crowd))
    sample, blank = samples[0], samples.without_image(0)
    assert sample.image.any() and not blank.image.any() and blank.image.shape == sample.image.shape
    assert torch.equal(blank.masks, sample.masks) and (blank.class_names, blank.name) == (
        sample.class_names,
        sample.name,
    )
    assert blank.ignored is not None and sample.ignored is not None and torch.equal(blank.ignored, sample.ignored)
    [path] = samples.image_files
    path.write_bytes(path.read_bytes()[:60])
    assert torch.equal(samples.without_image(0).masks, sample.masks)
    with pytest.raises(ValueError, match="cannot be decoded"):
        samples[0]
