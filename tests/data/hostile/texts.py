"""Hostile JSON of COCO and SA-1B, class lists and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sam_ft.data.coco import CocoSamples
from sam_ft.data.instance_maps import InstanceMaps
from sam_ft.data.manifest import ManifestColumns, read_manifest
from sam_ft.data.sa1b import Sa1bSamples
from sam_ft.data.semantic_maps import read_class_values
from tests.data.hostile.case import Case, broken, make_pipe

SIZE = 24
SQUARE = [[1, 1, 9, 1, 9, 9, 1, 9]]
DEEP = b"[" * 100_000
IMAGE = {"id": 1, "file_name": "a.png", "height": SIZE, "width": SIZE}
BIG = 2**80


def save_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIZE, SIZE), 99, np.uint8)).save(path)


def read_coco(path: Path) -> object:
    save_image(path.parent / "images" / "a.png")
    return list(CocoSamples(path, path.parent / "images"))


def read_sa1b(path: Path) -> object:
    save_image(path.with_suffix(".png"))
    return list(Sa1bSamples(path.parent))


def read_table(path: Path) -> object:
    save_image(path.parent / "a.png")
    return list(InstanceMaps(read_manifest(path, ManifestColumns())))


def text_cases() -> Iterator[Case]:
    """All of this file."""
    for group, file, good, described, read in (
        ("COCO files", "bad.json", dumped(coco()), COCO, read_coco),
        ("SA-1B files", "bad.json", dumped(sa1b()), SA1B, read_sa1b),
        ("class lists", "classes.json", b'{"classes": {"0": "sky", "1": "road"}, "void": 255}', CLASSES, read_classes),
    ):
        for name, content, may_be_read in broken(good, cuts=6, flips=6):
            yield Case(group, name, file, content, read, may_be_read)
        for name, content in {**JSON, **described}.items():
            yield Case(group, name, file, content if isinstance(content, bytes) else dumped(content), read)
        yield Case(group, "a pipe", file, make_pipe, read)
        yield Case(group, "a folder", file, Path.mkdir, read)
    for name, content, may_be_read in broken(b"image,mask,split\na.png,a.png,train\n", cuts=4, flips=6):
        yield Case("tables", name, "bad.csv", content, read_table, may_be_read)
    for name, text in TABLES.items():
        yield Case("tables", name, "bad.csv", text.encode("utf-8", "surrogateescape"), read_table)
    yield Case("tables", "a pipe", "bad.csv", make_pipe, read_table)
    yield Case("tables", "a folder", "bad.csv", Path.mkdir, read_table)


def read_classes(path: Path) -> object:
    return read_class_values(path)


def dumped(content: object) -> bytes:
    return json.dumps(content).encode()


def coco(*, image: Mapping[str, Any] | None = None, **annotation: Any) -> dict[str, Any]:
    """A file of one image and one annotation, of which some members are others."""
    return {
        "images": [IMAGE | dict(image or {})],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": SQUARE} | annotation],
    }


def rle(counts: object, *, size: object = (SIZE, SIZE)) -> dict[str, object]:
    return {"size": size, "counts": counts}


def coco_rle(counts: object, *, size: object = (SIZE, SIZE)) -> dict[str, Any]:
    return coco(segmentation=rle(counts, size=size))


def sa1b(*segmentations: object, image: object = None) -> dict[str, Any]:
    """The file of one image; without segmentations a good one."""
    found = segmentations or (rle([0, SIZE * SIZE]),)
    return {
        "image": {"height": SIZE, "width": SIZE} if image is None else image,
        "annotations": [{"id": number, "segmentation": each} for number, each in enumerate(found)],
    }


JSON: dict[str, bytes] = {
    "nested 100 000 deep": DEEP,
    "nested 100 000 deep in objects": b'{"a":' * 100_000,
    "nested 100 000 deep and closed": b'{"images": ' + DEEP + b"]" * 100_000 + b"}",
    "a number": b"7",
    "a list": b"[1, 2, 3]",
    "null": b"null",
    "an empty object": b"{}",
    "a number of 100 000 digits": b'{"images": ' + b"9" * 100_000 + b"}",
    "UTF-16": '{"images": []}'.encode("utf-16"),
    "two objects": b"{} {}",
}
BAD_COUNTS: dict[str, object] = {
    "a negative count": [-5, SIZE * SIZE + 5],
    "counts that overflow together": [2**62, 2**62, 2**62, 2**62],
    "a count beyond 64 bits": [0, BIG],
    "counts that sum to too little": [0, 10],
    "counts that sum to too much": [0, SIZE * SIZE, 1],
    "no counts": [],
    "fractions as counts": [0.0, float(SIZE * SIZE)],
    "text as counts": ["a", "b"],
    "true as a count": [True, SIZE * SIZE - 1],
    "null as counts": None,
    "nested counts": [[0, SIZE * SIZE]],
    "an empty string": "",
    "a string that is cut": "0T" + "o" * 3,
    "a string of huge counts": "o" * 40 + "0",
    "a string of other characters": "~~~!!\x00",
    "a string beyond ASCII": "０４<",
    "a string of negative counts": "0O0O0O",
    "a string of a million characters": "1" * 1_000_000,
}
BAD_SIZES: dict[str, object] = {
    "a size beyond 64 bits": [BIG, BIG],
    "a huge size": [2**31, 2**31],
    "a negative size": [-SIZE, -SIZE],
    "another size": [SIZE + 1, SIZE],
    "one length as size": [SIZE],
    "fractions as size": [24.0, 24.0],
    "text as size": "24",
    "no size": None,
}
COCO: dict[str, object] = {
    **{f"{name} in a mask": coco_rle(counts) for name, counts in BAD_COUNTS.items()},
    **{f"{name} of a mask": coco_rle([0, SIZE * SIZE], size=size) for name, size in BAD_SIZES.items()},
    "a mask as huge as its image says": coco(
        image={"height": 2**31 - 1, "width": 2**31 - 1}, segmentation=rle([0, (2**31 - 1) ** 2], size=[2**31 - 1] * 2)
    ),
    "an image of terabytes": coco(image={"height": 10**7, "width": 10**7}),
    "an image beyond 64 bits": coco(image={"height": BIG, "width": BIG}),
    "an image of negative size": coco(image={"height": -1, "width": 24}),
    "an image of NaN": coco(image={"height": float("nan"), "width": float("nan")}),
    "an image of no name": coco(image={"file_name": ""}),
    "an image that is not there": coco(image={"file_name": "../../etc/none.png"}),
    "an image whose name is too long": coco(image={"file_name": "a" * 5000 + "/" + "b" * 5000}),
    "an image whose name has a zero": coco(image={"file_name": "a\0.png"}),
    "an id beyond 64 bits": coco(id=BIG),
    "an image id beyond 64 bits": coco(image_id=BIG),
    "an image id of another image": coco(image_id=77),
    "a category that is not there": coco(category_id=77),
    "a category of text": coco(category_id="cell"),
    "an iscrowd of text": coco(iscrowd="yes"),
    "no segmentation": coco(segmentation=None),
    "an empty segmentation": coco(segmentation=[]),
    "an empty polygon": coco(segmentation=[[]]),
    "a polygon of two corners": coco(segmentation=[[1, 1, 2, 2]]),
    "a polygon of an odd number": coco(segmentation=[[1, 1, 2, 2, 3, 3, 4]]),
    "corners of NaN": coco(segmentation=[[float("nan")] * 6]),
    "corners of infinity": coco(segmentation=[[1, 1, float("inf"), 1, 5, 5]]),
    "corners at 1e300": coco(segmentation=[[1, 1, 1e300, 1, 5, 1e300]]),
    "corners beyond any float": coco(segmentation=[[1, 1, 10**400, 1, 5, 5]]),
    "a million corners far away": coco(segmentation=[[3e6, 1] * 500_000]),
    "an outline that takes for ever": coco(segmentation=[[1e6, -1e6, -1e6, 1e6] * 1000]),
    "many outlines that take for ever": coco(segmentation=[[0, 0, 1e6, 1, 1, 1e6]] * 300),
    "corners of text": coco(segmentation=[["a", "b", "c", "d", "e", "f"]]),
    "annotations that are no list": {**coco(), "annotations": {"a": 1}},
    "annotations that are no objects": {**coco(), "annotations": [1, 2]},
    "annotations that are twice there": {**coco(), "annotations": coco()["annotations"] * 2},
    "images that are twice there": {**coco(), "images": [IMAGE, IMAGE]},
    "no images": {**coco(), "images": []},
    "no annotations": {**coco(), "annotations": []},
    "categories without a name": {**coco(), "categories": [{"id": 1}]},
}
SA1B: dict[str, object] = {
    **{f"{name} in a mask": sa1b(rle([0, SIZE * SIZE]), rle(counts)) for name, counts in BAD_COUNTS.items()},
    **{f"{name} of a mask": sa1b(rle([0, SIZE * SIZE], size=size)) for name, size in BAD_SIZES.items()},
    "an image of terabytes": sa1b(image={"height": 10**7, "width": 10**7}),
    "an image of text": sa1b(image="24 x 24"),
    "polygons": sa1b(SQUARE),
    "segmentations that are numbers": sa1b(1, 2, 3),
    "annotations that are numbers": {"image": {"height": SIZE, "width": SIZE}, "annotations": [1, 2]},
    "annotations that are no list": {"image": {"height": SIZE, "width": SIZE}, "annotations": {"a": 1}},
}
CLASSES: dict[str, object] = {
    "no classes": {"classes": {}},
    "classes that are a list": {"classes": ["sky", "road"]},
    "a negative class": {"classes": {"sky": -1}},
    "an infinite class": {"classes": {"sky": float("inf")}},
    "a class of NaN": {"classes": {"sky": float("nan")}},
    "a class of an object": {"classes": {"sky": {}}},
    "a void of text": {"classes": {"sky": 1}, "void": "none"},
    "a void of lists": {"classes": {"sky": 1}, "void": [[1]]},
    "one number of two classes": {"classes": {"sky": 1, "road": 1}},
}
TABLES = {
    "a header alone": "image,mask\n",
    "no such columns": "a,b,c\n1,2,3\n",
    "an empty line as header": "\n\n\n",
    "a cell of a million characters": "image,mask\na.png," + "m" * 1_000_000 + "\n",
    "a path of 5000 characters": "image,mask\na.png," + "m" * 5000 + "\n",
    "a path with a zero": "image,mask\na.png,b\0.png\n",
    "a quote that never ends": 'image,mask\n"a.png,b.png\n',
    "a quote in the middle": 'image,mask\n"a"b,c\n',
    "too many cells": "image,mask\na.png,a.png,a.png,a.png\n",
    "too few cells": "image,mask,split\na.png\n",
    "a million columns": ",".join(f"c{number}" for number in range(100_000)) + "\n1,2\n",
    "files that are not there": "image,mask\nb.png,c.png\n",
    "a user who is not there": "image,mask\n~nobody_of_this_name/a.png,a.png\n",
    "an image that is there twice": "image,mask\na.png,a.png\na.png,a.png\n",
    "an unknown part": "image,mask,split\na.png,a.png,holdout\n",
    "no part": "image,mask,split\na.png,a.png,\n",
    "folders as files": "image,mask\n.,.\n",
    "a device as file": "image,mask\n/dev/zero,/dev/zero\n",
}
