"""COCO annotations, checked, divided and written part by part."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sam_ft.data.preparing.target import Target
from sam_ft.data.splits import Part
from sam_ft.files import write_json

_logger = logging.getLogger(__name__)

FIT = "data=coco data.root={root} 'data.annotations=\"{part}/annotations.json\"' 'data.images=\"{part}/images\"'"
"""What follows `sam-ft fit` to train on what `write_coco` writes; see `Recipe.fit`."""

Entry = dict[str, Any]
"""One image, annotation or category, with the keys that COCO's page describes (https://cocodataset.org/#format-data)."""


@dataclass(frozen=True)
class CocoContent:
    """What a COCO file of instances says; `file_name` of each image has no folder."""

    images: list[Entry]
    annotations: list[Entry]
    categories: list[Entry]

    @property
    def names(self) -> list[str]:
        """The images' file names, in their order."""
        return [image["file_name"] for image in self.images]

    def only(self, names: Collection[str]) -> CocoContent:
        """The same of fewer images."""
        wanted = set(names)
        images = [image for image in self.images if image["file_name"] in wanted]
        numbers = {image["id"] for image in images}
        annotations = [entry for entry in self.annotations if entry["image_id"] in numbers]
        return replace(self, images=images, annotations=annotations)


def read_coco(path: Path) -> CocoContent:
    """Reads a file of instances.

    Raises:
        ValueError: It is no such file, or names an image twice; the file is named.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = [{**image, "file_name": PurePosixPath(image["file_name"]).name} for image in content["images"]]
        read = CocoContent(images, list(content["annotations"]), list(content["categories"]))
        numbers = {image["id"] for image in images}
        strays = sum(entry["image_id"] not in numbers for entry in read.annotations)
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise ValueError(
            f"Expected images, annotations and categories as COCO has them in {path}, but: {err!r}"
        ) from err
    if len(set(read.names)) < len(images):
        raise ValueError(f"Expected each image once in {path}, but got one several times.")
    if strays:
        _logger.warning("%s: %d annotations belong to no image and are left out.", path.name, strays)
    return read


def write_coco(target: Target, part: Part, annotations: CocoContent, paths: Mapping[str, Path]) -> None:
    """PART/images and PART/annotations.json.

    Args:
        target: Where.
        part: Which part.
        annotations: What is in the part; the target's limit counts images.
        paths: File name -> where the image lies.

    Raises:
        ValueError: An image that is not there.
    """
    chosen = annotations.only(sorted(annotations.names)[: target.limit])
    for name in target.progress(part, chosen.names):
        if name not in paths:
            raise ValueError(f"Expected the image {name}, which the annotations name, but there is no such file.")
        target.take(paths[name], target.folder / part / "images" / name)
    content = {"images": chosen.images, "annotations": chosen.annotations, "categories": chosen.categories}
    write_json(target.folder / part / "annotations.json", content)
    target.count(part, images=len(chosen.images), objects=len(chosen.annotations))
