"""Faults of folders of images and label maps, each planted into a healthy data set."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.doctor.healthy import DataSet, change, picture, read, save

Plant = Callable[[DataSet], None]


def constant_image(data: DataSet) -> None:
    change(data.files("images")[:1], lambda image: np.full_like(image, 90))


def not_finite(data: DataSet) -> None:
    for path in data.files("images"):
        np.save(path.with_suffix(".npy"), read(path).astype(np.float32))
        path.unlink()
    first = data.files("images")[0]
    image = np.load(first)
    image[5:9, 5:9] = np.nan
    np.save(first, image)


def no_finite_value(data: DataSet) -> None:
    for path in data.files("images"):
        np.save(path.with_suffix(".npy"), read(path).astype(np.float32))
        path.unlink()
    np.save(data.files("images")[0], np.full((96, 96), np.inf, dtype=np.float32))


def saturated(data: DataSet) -> None:
    change(
        data.files("images")[:1], lambda image: np.where(image > np.quantile(image, 0.6), 255, image).astype("uint8")
    )


def few_levels(data: DataSet) -> None:
    change(data.files("images")[:1], lambda image: image // 40 * 40)


def wrapped(data: DataSet) -> None:
    def low_byte(image: np.ndarray) -> np.ndarray:
        bits = np.arange(96)[None] * 14 + image.astype(np.uint16) // 8
        return (bits & 255).astype(np.uint8)

    change(data.files("images")[:1], low_byte)


def dim(data: DataSet) -> None:
    change(data.files("images"), lambda image: image // 8)


def mixed_types(data: DataSet) -> None:
    change(data.files("images")[:1], lambda image: image.astype(np.uint16) * 200)


def unreadable_image(data: DataSet) -> None:
    path = data.files("images")[0]
    path.write_bytes(path.read_bytes()[:900])


def unreadable_label(data: DataSet) -> None:
    data.files("labels")[0].write_bytes(b"no picture")


def image_without_label(data: DataSet) -> None:
    data.files("labels")[0].unlink()


def label_without_image(data: DataSet) -> None:
    data.files("images")[0].unlink()


def same_name(data: DataSet) -> None:
    path = data.files("images")[0]
    save(path.with_suffix(".bmp"), read(path))


def size_mismatch(data: DataSet) -> None:
    change(data.files("labels")[:1], lambda labels: labels[::2, ::2])


def colour_label(data: DataSet) -> None:
    change(data.files("labels")[:1], lambda labels: np.stack([labels * 40, labels, labels], axis=-1))


def fractional_label(data: DataSet) -> None:
    path = data.files("labels")[0]
    np.save(path.with_suffix(".npy"), read(path) / 3)
    path.unlink()


def negative_label(data: DataSet) -> None:
    path = data.files("labels")[0]
    np.save(path.with_suffix(".npy"), read(path).astype(np.int16) - 1)
    path.unlink()


def lossy_label(data: DataSet) -> None:
    path = data.files("labels")[0]
    Image.fromarray(read(path) * 40).save(path.with_suffix(".jpg"), quality=60)
    path.unlink()


def empty_label(data: DataSet) -> None:
    change(data.files("labels")[:2], lambda labels: labels * 0)


def no_objects(data: DataSet) -> None:
    change(data.files("labels"), lambda labels: labels * 0)


def specks(data: DataSet) -> None:
    def with_specks(labels: np.ndarray) -> np.ndarray:
        changed = labels.copy()
        for value, row in enumerate((2, 30, 60, 92), start=20):
            changed[row, 1] = value
        return changed

    change(data.files("labels")[:2], with_specks)


def small_objects(data: DataSet) -> None:
    data.plan["image_size"] = 48


def whole_image(data: DataSet) -> None:
    change(data.files("labels")[:2], lambda labels: np.ones_like(labels))


def duplicate(data: DataSet) -> None:
    _copy(data, "train", "train", lambda image: image)


def near_duplicate(data: DataSet) -> None:
    _copy(data, "train", "train", lambda image: image + 5)


def leak(data: DataSet) -> None:
    _copy(data, "train", "val", lambda image: image)


def near_leak(data: DataSet) -> None:
    _copy(data, "train", "test", lambda image: image + 5)


def _copy(data: DataSet, source: str, target: str, by: Callable[[np.ndarray], np.ndarray]) -> None:
    for kind in ("images", "labels"):
        pixels = read(data.files(kind, source)[0])
        save(data.root / target / kind / "again.png", by(pixels) if kind == "images" else pixels)


def group_leak(data: DataSet) -> None:
    for part, name in (("train", "patient7_left.png"), ("val", "patient7_right.png")):
        for kind in ("images", "labels"):
            data.files(kind, part)[0].rename(data.root / part / kind / name)
    data.plan["group"] = "(patient[0-9]+)_"


def shared_names(data: DataSet) -> None:
    for kind in ("images", "labels"):
        for number, path in enumerate(data.files(kind)):
            path.rename(path.with_name(f"film{number % 2}_{number:03d}.png"))


def few_val(data: DataSet) -> None:
    _take_out(data, "val", 3)


def few_test(data: DataSet) -> None:
    _take_out(data, "test", 3)


def few_train(data: DataSet) -> None:
    _take_out(data, "train", 4)


def _take_out(data: DataSet, part: str, count: int) -> None:
    for path in [*data.files("images", part)[:count], *data.files("labels", part)[:count]]:
        path.unlink()


def classes_as_instances(data: DataSet) -> None:
    change(data.files("labels"), lambda labels: (labels > 0).astype(np.uint8) * 255)


def unequal_sizes(data: DataSet) -> None:
    for kind in ("images", "labels"):
        change(data.files(kind)[:1], lambda pixels: np.kron(pixels, np.ones((5, 5), dtype=np.uint8)))


def long_images(data: DataSet) -> None:
    for kind, pixels in zip(("images", "labels"), picture(500, height=40, width=240), strict=True):
        save(data.files(kind)[0], pixels)


def shifted_labels(data: DataSet) -> None:
    change(data.files("labels"), lambda labels: np.roll(labels, 5, axis=1))


def mirrored_labels(data: DataSet) -> None:
    change(data.files("labels"), lambda labels: labels[:, ::-1])


def turned_labels(data: DataSet) -> None:
    change(data.files("labels"), lambda labels: labels.T)


def split_refused(data: DataSet) -> None:
    for kind in ("images", "labels"):
        (data.root / kind).mkdir()
        for path in data.files(kind, "train")[:2]:
            path.rename(data.root / kind / path.name)
    for part in ("train", "val", "test"):
        shutil.rmtree(data.root / part)


INSTANCES: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        constant_image, not_finite, no_finite_value, saturated, few_levels, wrapped, dim, mixed_types,
        unreadable_image, unreadable_label, image_without_label, label_without_image, same_name, size_mismatch,
        colour_label, fractional_label, negative_label, lossy_label, empty_label, no_objects, specks, small_objects,
        whole_image, duplicate, near_duplicate, leak, near_leak, group_leak, shared_names, few_val, few_test,
        few_train, classes_as_instances, unequal_sizes, long_images, shifted_labels, mirrored_labels, split_refused,
    )
}  # fmt: skip


def instances_as_classes(data: DataSet) -> None:
    for index, path in enumerate(data.files("labels")):
        save(path, picture(index)[1])


def unknown_values(data: DataSet) -> None:
    change(data.files("labels")[:1], lambda labels: np.where(labels == 1, 7, labels).astype(np.uint8))


def absent_class(data: DataSet) -> None:
    data.told(classes={"cell": 1, "wall": 2, "vessel": 3})


def class_not_in_val(data: DataSet) -> None:
    change(data.files("labels", "val"), lambda labels: labels.clip(max=1))


def class_not_in_train(data: DataSet) -> None:
    change(data.files("labels", "train"), lambda labels: labels.clip(max=1))


CLASSES: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (instances_as_classes, unknown_values, absent_class, class_not_in_val, class_not_in_train)
}


def missing_file(data: DataSet) -> None:
    data.files("labels")[0].unlink()


def listed_twice(data: DataSet) -> None:
    rows = _rows(data)
    _write(data, [*rows, rows[1]])


def unknown_part(data: DataSet) -> None:
    header, first, *others = _rows(data)
    _write(data, [header, first.replace(",test,", ",testing,"), *others])


def group_in_two_parts(data: DataSet) -> None:
    rows = [row.rpartition(",")[0] for row in _rows(data)[1:]]
    groups = ["patient1" if number in (0, len(rows) - 1) else str(number) for number in range(len(rows))]
    _write(data, ["image,mask,split,group", *(f"{row},{group}" for row, group in zip(rows, groups, strict=True))])


def _rows(data: DataSet) -> list[str]:
    return (data.root / "cells.csv").read_text().splitlines()


def _write(data: DataSet, rows: list[str]) -> None:
    Path(data.root / "cells.csv").write_text("\n".join(rows))


TABLE: dict[str, Plant] = {
    "missing_file": missing_file,
    "listed_twice": listed_twice,
    "unknown_part": unknown_part,
    "group_leak": group_in_two_parts,
}
