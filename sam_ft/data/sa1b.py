"""`Sa1bSamples`: images with a JSON file of run lengths beside each, as in SA-1B."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sam_ft.checks import expect_whole_number
from sam_ft.data.folders import divided_files, expanded, image_files, listed, parts_in_folders
from sam_ft.data.image_files import SUFFIXES, image_size, read_image
from sam_ft.data.json_files import read_json_object
from sam_ft.data.splits import DataSplits, GroupSplit
from sam_ft.masks.rle import RunLengths, areas, decode
from sam_ft.masks.rle_coco import from_coco
from sam_ft.masks.room import expect_room
from sam_ft.types import Sample, blank_image


class Sa1bSamples:
    """The images of a folder, each with a JSON file of its name beside it.

    The file holds `image` with `height` and `width`, and `annotations`, each with an `id` and a `segmentation` of run
    lengths. Construction lists the folder, nothing
    more: a file's content is read, and checked, with its image. Source: Kirillov et al., "Segment Anything" (2023).

    Args:
        folder: Of images and JSON files; those in folders inside are found too.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        names: The images to take, by path below the folder without suffix; None: all.

    Attributes:
        pairs: (image, JSON file) of each sample, by name.

    Raises:
        ValueError: No images, an image or JSON file alone, or two images of one name.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        min_area_px: int = 1,
        class_name: str = "object",
        names: frozenset[str] | None = None,
    ) -> None:
        self.min_area_px = expect_whole_number("min_area_px", min_area_px, least=1)
        self.class_name = class_name
        found = _pairs(Path(folder))
        self.names = tuple(name for name in found if names is None or name in names)
        self.pairs = tuple(found[name] for name in self.names)

    @property
    def image_files(self) -> tuple[Path, ...]:
        """Those that the images are read from."""
        return tuple(image for image, _ in self.pairs)

    @property
    def source_files(self) -> tuple[Path, ...]:
        """Those, and those of the labels."""
        return tuple(path for pair in self.pairs for path in pair)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        sample = self.without_image(index)
        return replace(sample, image=torch.from_numpy(read_image(self.pairs[index][0])))

    def without_image(self, index: int) -> Sample:
        """The same sample with a blank image, so that of the file its header alone is read."""
        image_path, json_path = self.pairs[index]
        run_lengths = _read_run_lengths(json_path, image_path, size=image_size(image_path))
        expect_room(len(run_lengths), size=run_lengths.size, path=json_path)
        masks = decode(run_lengths)[areas(run_lengths) >= self.min_area_px]
        return Sample(
            image=blank_image(*run_lengths.size),
            masks=torch.from_numpy(masks),
            class_names=(self.class_name,) * len(masks),
            name=self.names[index].replace("/", "_"),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def sa1b_splits(
    root: str | Path,
    *,
    split: GroupSplit,
    group: str | None = None,
    min_area_px: int = 1,
    class_name: str = "object",
) -> DataSplits:
    """`Sa1bSamples` in parts: the folders train, val and, where there is one, test in the root, or by a rule.

    Args:
        root: The data set's folder; `~` and environment variables are expanded.
        split: How images are divided where no folders do.
        group: Which images stay together; see `divided_files`. Folders that are the parts must not share a group.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.

    Raises:
        ValueError: What `Sa1bSamples` or the split raises.
    """

    def read(folder: Path, names: frozenset[str] | None = None) -> Sa1bSamples:
        return Sa1bSamples(folder, min_area_px=min_area_px, class_name=class_name, names=names)

    folder = expanded(root)
    if parts := parts_in_folders(folder, read, files=image_files, group=group):
        return parts
    images = {name: image for name, (image, _) in _pairs(folder).items()}
    return divided_files(images, lambda chosen: read(folder, chosen), split=split, group=group)


def _pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Name -> (image, JSON file), by name."""
    images: dict[str, Path] = {}
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        kind = images if path.suffix.lower() in SUFFIXES else files if path.suffix == ".json" else None
        if kind is None or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in kind:
            raise ValueError(f"Expected one image named {name} in {folder}, but got {kind[name]} and {path}.")
        kind[name] = path
    if not images:
        raise ValueError(f"Expected images and their JSON files in {folder}, but got {listed(folder)}.")
    for lone, other, missing in ((images, files, "JSON file"), (files, images, "image")):
        if alone := [name for name in lone if name not in other]:
            raise ValueError(
                f"Expected every image to have a JSON file of its name, but {lone[alone[0]]} has no {missing}"
                f"{f' (and {len(alone) - 1} more)' if len(alone) > 1 else ''}."
            )
    return {name: (image, files[name]) for name, image in images.items()}


def _read_run_lengths(path: Path, image_path: Path, *, size: tuple[int, int]) -> RunLengths:
    """The masks of one file; errors name it, and the annotation."""
    content = read_json_object(path)
    described, annotations = content.get("image"), content.get("annotations")
    if not isinstance(described, dict) or not isinstance(annotations, list):
        raise ValueError(f"Expected an object `image` and an array `annotations` in {path}, but got {list(content)}.")
    if (said := (described.get("height"), described.get("width"))) != size:
        raise ValueError(f"Expected {image_path} (height, width) of {said}, as {path} says, but got {size}.")
    segmentations: list[Any] = [each.get("segmentation") if isinstance(each, dict) else each for each in annotations]
    try:
        return from_coco(segmentations, size=size)
    except ValueError:
        _name_the_wrong_one(path, annotations, segmentations, size)
        raise


def _name_the_wrong_one(path: Path, annotations: list[Any], segmentations: list[Any], size: tuple[int, int]) -> None:
    for place, (annotation, segmentation) in enumerate(zip(annotations, segmentations, strict=True)):
        identity = annotation.get("id", "without id") if isinstance(annotation, dict) else "that is no object"
        try:
            from_coco([segmentation], size=size)
        except ValueError as err:
            raise ValueError(f"{path}, annotation {identity} (number {place}): {err}") from err
