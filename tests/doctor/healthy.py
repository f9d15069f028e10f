"""Small healthy data sets on disk, into which a fault can be planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from scipy import ndimage

from sam_ft.data.image_mask import image_mask_splits
from sam_ft.data.manifest import ManifestColumns, manifest_splits
from sam_ft.data.nifti.parts import nifti_splits
from sam_ft.data.semantic_maps import semantic_maps_splits
from sam_ft.data.splits import GroupSplit
from sam_ft.data.volumes.objects import ObjectRule
from sam_ft.doctor.examination import Examination, Plan, examine
from sam_ft.doctor.inventory.listing import inventory_of

PARTS = {"train": 12, "val": 6, "test": 6}
SIDE = 96
SPACING = np.diag([1.0, 1.0, 2.0, 1.0])


@dataclass
class DataSet:
    """A data set on disk, what builds it, and how it is looked at."""

    root: Path
    build: partial[Any]
    plan: dict[str, Any] = field(default_factory=dict)

    def files(self, kind: str, part: str = "*") -> list[Path]:
        """Of `images` or `labels`, in the order of their names."""
        return sorted(self.root.glob(f"{part}/{kind}/*"))

    def told(self, **arguments: Any) -> None:
        """Build it with other arguments."""
        self.build = partial(self.build, **arguments)

    def examine(self) -> Examination:
        """The doctor's look."""
        return examine(inventory_of(self.build), Plan(**self.plan))


def picture(seed: int, *, height: int = SIDE, width: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """A grey picture (H, W) uint8 of bright discs on texture, and the number of each disc (H, W) uint8."""
    random = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(random.normal(size=(height, width)), 3)
    image = 90 + 12 * texture / texture.std()
    labels = np.zeros((height, width), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    places = [(y, x) for y in range(0, height - 31, 32) for x in range(0, width - 31, 32)]
    for number, place in enumerate(random.permutation(len(places))[: 3 + seed % 3], start=1):
        radius = int(random.integers(9, 13))
        y, x = (start + radius + 1 + int(random.integers(0, 31 - 2 * radius - 1)) for start in places[place])
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return (image + 80 * (labels > 0)).clip(0, 255).astype(np.uint8), labels


def volume(seed: int, *, depth: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) int16 intensities and uint8 labels."""
    slices = [picture(100 * seed + index) for index in range(depth)]
    images, labels = (np.stack(each, axis=-1) for each in zip(*slices, strict=True))
    return images.astype(np.int16), (labels > 0).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def change(paths: Sequence[Path], by: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in paths:
        save(path, by(read(path)))


def save_volume(path: Path, voxels: np.ndarray, affine: np.ndarray = SPACING) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    nibabel.save(image, path)


def folders(root: Path) -> Path:
    """Parts as folders; names that say nothing."""
    seed = 0
    for part, count in PARTS.items():
        for letter in "abcdefghijkl"[:count]:
            image, labels = picture(seed)
            save(root / part / "images" / f"{part}-{letter}.png", image)
            save(root / part / "labels" / f"{part}-{letter}.png", labels)
            seed += 1
    return root


def instances(tmp_path: Path) -> DataSet:
    """`data=image_mask`."""
    root = folders(tmp_path / "cells")
    arguments = {"images": "images", "labels": "labels", "min_area_px": 1, "class_name": "cell", "stretch": False}
    return DataSet(root, partial(image_mask_splits, root=root, split=GroupSplit(), **arguments))


def classes(tmp_path: Path) -> DataSet:
    """`data=semantic_maps`: two classes."""
    root = folders(tmp_path / "maps")
    arguments = {"images": "images", "labels": "labels", "ignored": None, "stretch": False}
    numbers = {"cell": 1, "wall": 2}
    dataset = DataSet(root, partial(semantic_maps_splits, root=root, split=GroupSplit(), classes=numbers, **arguments))
    change(dataset.files("labels"), lambda labels: np.where(labels > 2, 2, labels > 0).astype(np.uint8))
    return dataset


def table(tmp_path: Path) -> DataSet:
    """`data=manifest`."""
    root = folders(tmp_path / "table")
    build = partial(
        manifest_splits, path=root / "cells.csv", split=GroupSplit(), columns=ManifestColumns(), min_area_px=1,
        class_name="cell", stretch=False,
    )  # fmt: skip
    dataset = DataSet(root, build)
    files = [path.relative_to(root) for path in dataset.files("images")]
    rows = [f"{path},{str(path).replace('images', 'labels')},{path.parts[0]},{path.stem}" for path in files]
    (root / "cells.csv").write_text("\n".join(["image,mask,split,group", *rows]))
    return dataset


def volumes(tmp_path: Path) -> DataSet:
    """`data=nifti`: ten volumes, two of them to validate on and two to test on."""
    root = tmp_path / "scans"
    for number in range(10):
        for kind, voxels in zip(("images", "labels"), volume(number), strict=True):
            save_volume(root / f"case{number}" / kind / "scan.nii.gz", voxels)
    build = partial(
        nifti_splits, images=f"{root}/*/images/scan.nii.gz", labels=f"{root}/*/labels/scan.nii.gz",
        split=GroupSplit(), group=None, axis="axial", objects=ObjectRule(kind="components"), window=None,
        volume_index=None,
    )  # fmt: skip
    return DataSet(root, build)
