"""`Target`: the folder that a data set is prepared in, one part after the other."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from sam_ft.data.image_files import SUFFIXES, image_size, read_image, read_label_map
from sam_ft.data.splits import Part
from sam_ft.files import atomic_write, write_json

_Item = TypeVar("_Item")

Counts = dict[str, dict[str, int]]
"""Part -> how many of what, such as {"train": {"images": 8, "objects": 31}}."""


@dataclass(frozen=True)
class LabelledImage:
    """An image and its label map, as files or as what makes them.

    Args:
        name: The name of both, without suffix; unique within its part.
        image: The image's file.
        labels: The label map's file, which is taken as it is; or what makes the (H, W) integers.
    """

    name: str
    image: Path
    labels: Path | Callable[[], np.ndarray]


@dataclass(frozen=True)
class VolumeFiles:
    """A NIfTI image and its labels; `name` has no suffix."""

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class Target:
    """Where a recipe writes. A file that is there already is whole and not written again.

    Args:
        folder: The data set's folder.
        limit: At most so many images or volumes for each part; None: all.
    """

    folder: Path
    limit: int | None = None
    counts: Counts = field(default_factory=lambda: defaultdict(dict))

    def write_images(self, part: Part, images: Sequence[LabelledImage]) -> None:
        """PART/images and PART/labels, as `data=image_mask` reads them; each number above 0 is an object.

        Raises:
            ValueError: Two images of one name, or a label map of another size than its image; the file is named.
        """
        for labels in self._write_pairs(part, images):
            self.count(part, images=1, objects=int(np.count_nonzero(np.unique(labels))))

    def write_class_maps(self, part: Part, images: Sequence[LabelledImage]) -> None:
        """The same with class numbers instead, as `data=semantic_maps` reads them."""
        for _ in self._write_pairs(part, images):
            self.count(part, images=1)

    def _write_pairs(self, part: Part, images: Sequence[LabelledImage]) -> Iterator[np.ndarray]:
        """Writes one pair after the other; each time (H, W) its labels."""
        _expect_unique([image.name for image in images], part)
        for item in self.progress(part, images):
            copied = self._write_image(part, item)
            labels = self._write_labels(part, item)
            if labels.shape != image_size(copied):
                raise ValueError(
                    f"Expected labels of {image_size(copied)} for {item.image}, but got {labels.shape}: they do not "
                    "belong to each other."
                )
            yield labels

    def write_volumes(self, part: Part, volumes: Sequence[VolumeFiles]) -> None:
        """PART/images/NAME.nii.gz and PART/labels/NAME.nii.gz, as `data=nifti` reads them.

        Raises:
            ValueError: Two volumes of one name.
        """
        _expect_unique([volume.name for volume in volumes], part)
        for volume in self.progress(part, volumes):
            for kind, source in (("images", volume.image), ("labels", volume.labels)):
                self._take_volume(source, self.folder / part / kind / f"{volume.name}.nii.gz")
            self.count(part, volumes=1)

    def write_class_names(self, names: Sequence[str], *, void: int) -> None:
        """The classes.json that `data=semantic_maps` reads: the numbers from 0 up, and the one that means nothing."""
        classes = {str(number): name for number, name in enumerate(names)}
        write_json(self.folder / "classes.json", {"classes": classes, "void": void})

    def progress(self, part: Part, items: Sequence[_Item]) -> Iterator[_Item]:
        """The items up to the limit, with a bar."""
        pause = 0.5 if sys.stderr.isatty() else 15
        yield from tqdm(items[: self.limit], desc=part, unit="file", mininterval=pause, dynamic_ncols=True)

    def count(self, part: Part, **numbers: int) -> None:
        """Add to what the part holds."""
        for what, number in numbers.items():
            self.counts[part][what] = self.counts[part].get(what, 0) + number

    def take(self, source: Path, target: Path) -> None:
        """Puts a file of the source at its place: a copy, or, of what was unpacked in this folder, the file itself.

        It is linked and not moved, so that a call that goes on later finds it in both places; a disk that knows no
        links gets copies of all.
        """
        if target.is_file():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_relative_to(self.folder) and _linked(source, target):
            return
        with atomic_write(target) as partial:
            shutil.copyfile(source, partial)

    def _take_volume(self, source: Path, target: Path) -> None:
        """The same for a NIfTI file; one that is not compressed becomes it."""
        if source.name.endswith(".gz"):
            self.take(source, target)
        elif not target.is_file():
            with atomic_write(target) as partial, source.open("rb") as plain, gzip.open(partial, "wb", 6) as packed:
                shutil.copyfileobj(plain, packed)

    def _write_image(self, part: Part, item: LabelledImage) -> Path:
        suffix = item.image.suffix.lower()
        target = self.folder / part / "images" / f"{item.name}{suffix if suffix in SUFFIXES else '.png'}"
        if not target.is_file():
            if suffix in SUFFIXES:
                self.take(item.image, target)
            else:
                write_png(target, read_image(item.image))
        return target

    def _write_labels(self, part: Part, item: LabelledImage) -> np.ndarray:
        suffix = item.labels.suffix.lower() if isinstance(item.labels, Path) else ".png"
        target = self.folder / part / "labels" / f"{item.name}{suffix}"
        if not target.is_file():
            if isinstance(item.labels, Path):
                self.take(item.labels, target)
            else:
                write_png(target, item.labels())
        return read_label_map(target)


def _linked(source: Path, target: Path) -> bool:
    """Whether the disk could give a file a second name."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def write_png(path: Path, pixels: np.ndarray) -> None:
    """(H, W, 3) uint8, or (H, W) labels of 0 to 65535, which take 8 bits where they fit and else 16.

    Raises:
        ValueError: Labels that do not fit into 16 bits.
    """
    if pixels.ndim == 2:
        largest = int(pixels.max(initial=0))
        if largest > np.iinfo(np.uint16).max:
            raise ValueError(f"Expected at most 65535 objects in {path}, but got {largest}.")
        pixels = pixels.astype(np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16)
    with atomic_write(path) as partial:
        Image.fromarray(pixels).save(partial)


def _expect_unique(names: Sequence[str], part: Part) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
        raise ValueError(f"Expected each name once in the {part} part, but got {', '.join(twice[:3])} several times.")
