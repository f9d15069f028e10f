"""Images and label maps that a table lists, with the part and the group of each."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack, get_args

from sam_ft.checks import shortened
from sam_ft.data.folders import divided, expanded
from sam_ft.data.instance_maps import InstanceMaps, InstancePair
from sam_ft.data.pixels import Look
from sam_ft.data.splits import DataSplits, GroupSplit, Part
from sam_ft.files import is_file

_PARTS: tuple[Part, ...] = get_args(Part)

Cells = dict[str | None, str | None]
"""Column -> text of a row; None where a cell is missing, and for the column of what is too much."""


@dataclass(frozen=True)
class ManifestColumns:
    """What the columns of the table are called; `split` and `group` may be missing in it."""

    image: str = "image"
    mask: str = "mask"
    split: str = "split"
    group: str = "group"


@dataclass(frozen=True)
class ManifestRow(InstancePair):
    """An image and its label map, with what the table says of them."""

    group: str  # such as a patient; the image itself where the table has no such column
    part: Part | None  # None where the table has no such column


def read_manifest(path: Path, columns: ManifestColumns) -> list[ManifestRow]:
    """The rows of a CSV file with a header; paths in it are absolute or start from its folder.

    Raises:
        ValueError: The file cannot be read, a column is missing, a cell is empty, an image is there twice, a file is
            not there, a part is unknown, or a group is in two parts; the file and the line are named.
    """
    header, cells = read_cells(path, columns)
    rows = [_row(cell, f"line {line} of {path}", path.parent, columns, header) for line, cell in cells]
    _expect_unique(path, rows)
    return _with_names(rows)


def read_cells(path: Path, columns: ManifestColumns) -> tuple[list[str], list[tuple[int, Cells]]]:
    """The names of all columns, and of each row its line and its cells, none of which is looked at.

    Raises:
        ValueError: The file cannot be read, a column is missing, or there is no row.
    """
    if not is_file(path):
        raise ValueError(f"Expected a table (CSV) in {path}, but it cannot be read: there is no such file.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            header = list(reader.fieldnames or [])
            cells: list[tuple[int, Cells]] = [(reader.line_num, dict(row)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ValueError(f"Expected a table (CSV) in {path}, but it cannot be read: {err}.") from err
    if missing := [name for name in (columns.image, columns.mask) if name not in header]:
        raise ValueError(
            f"Expected the columns {columns.image} and {columns.mask} in {path}, but got no {' and no '.join(missing)} "
            f"({shortened(', '.join(header), 200) or 'an empty file'})."
        )
    if not cells:
        raise ValueError(f"Expected rows in {path}, but there is only a header.")
    return header, cells


def manifest_splits(
    path: str | Path,
    *,
    split: GroupSplit,
    columns: ManifestColumns = ManifestColumns(),
    min_area_px: int = 1,
    class_name: str = "object",
    **look: Unpack[Look],
) -> DataSplits:
    """`InstanceMaps` of a table in parts, as the table says or by a rule.

    Args:
        path: Of the CSV file; `~` and environment variables are expanded.
        split: How groups are divided where the table has no column for it.
        columns: What the columns are called.
        min_area_px: Smaller objects are left out.
        class_name: What the objects are called.
        **look: How pixels are shown; see `PixelRule`.

    Raises:
        ValueError: What `read_manifest` or the split raises, or a table without rows to train or to validate on.
    """
    rows = read_manifest(expanded(path), columns)

    def samples(chosen: list[ManifestRow]) -> InstanceMaps:
        return InstanceMaps(chosen, min_area_px=min_area_px, class_name=class_name, **look)

    if rows[0].part is None:
        groups = [row.group for row in rows]
        return divided(groups, lambda some: samples([row for row in rows if row.group in some]), split=split)
    of_part = {part: [row for row in rows if row.part == part] for part in _PARTS}
    if absent := [part for part in ("train", "val") if not of_part[part]]:
        raise ValueError(
            f"Expected rows of train and val in the column {columns.split} of {path}, but got none of "
            f"{' and of '.join(absent)}."
        )
    test = samples(of_part["test"]) if of_part["test"] else None
    return DataSplits(train=samples(of_part["train"]), val=samples(of_part["val"]), test=test)


def _row(cells: Cells, where: str, folder: Path, columns: ManifestColumns, header: list[str]) -> ManifestRow:
    def cell(column: str) -> str:
        if not (text := (cells.get(column) or "").strip()):
            raise ValueError(f"Expected a value of {column} in {where}, but it is empty.")
        return text

    if None in cells:
        raise ValueError(f"Expected {len(header)} values in {where}, but got more.")
    image, mask = (folder / expanded(cell(column)) for column in (columns.image, columns.mask))
    for file in (image, mask):
        if not is_file(file):
            raise ValueError(f"Expected the file {shortened(str(file), 400)}, which {where} names, but there is none.")
    part = cell(columns.split) if columns.split in header else None
    if part is not None and part not in _PARTS:
        raise ValueError(f"Expected {columns.split} of {', '.join(_PARTS)} in {where}, but got {part!r}.")
    group = cell(columns.group) if columns.group in header else cell(columns.image)
    return ManifestRow(name=cell(columns.image), image=image, mask=mask, group=group, part=part)


def _expect_unique(path: Path, rows: list[ManifestRow]) -> None:
    """Refuse images that are there twice, and groups that two parts share."""
    image, times = Counter(row.image for row in rows).most_common(1)[0]
    if times > 1:
        raise ValueError(f"Expected each image once in {path}, but {image} is there {times} times.")
    parts: dict[str, ManifestRow] = {}
    for row in rows:
        if (first := parts.setdefault(row.group, row)).part != row.part:
            raise ValueError(
                f"Expected each group in one part in {path}, but {row.group} is in {first.part} ({first.name}) and in "
                f"{row.part} ({row.name})."
            )


def _with_names(rows: list[ManifestRow]) -> list[ManifestRow]:
    """Names of the samples: the image's without suffix, or its whole path where two would be the same."""
    stems = Counter(row.image.stem for row in rows)
    names = [row.image.stem if stems[row.image.stem] == 1 else row.name.replace("/", "_") for row in rows]
    return [replace(row, name=name) for name, row in zip(names, rows, strict=True)]
