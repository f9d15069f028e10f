"""The records of an interactive evaluation as a file, CSV or Parquet, and back exactly as they were."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, get_args

from sam_ft.evaluation.records.mask_record import MaskRecord, PromptKind
from sam_ft.files import atomic_write
from sam_ft.optional import MissingPackageError, require

RecordsFormat = Literal["csv", "parquet"]
NAMES = {"csv": "records.csv", "parquet": "records.parquet"}
"""What the file is called in the folder of an evaluation."""

_OPTIONAL = ("set_name", "oracle_iou", "clicks_to_85", "clicks_to_90", "boundary_iou", "in_summary")
"""Columns that a CSV file lacks where all records have what they have by themselves, such as nothing."""
_NUMBERS: dict[str, Callable[[str], Any]] = {
    "object_index": int,
    "area_px": int,
    "num_clicks": int,
    "iou": float,
    "predicted_iou": float,
    "oracle_iou": float,
    "clicks_to_85": int,
    "clicks_to_90": int,
    "boundary_iou": float,
    "in_summary": lambda text: bool(int(text)),
}


def write_records(path: str | Path, records: Sequence[MaskRecord]) -> None:
    """Write one row per record, at once: as Parquet if `path` ends so, else as CSV.

    In CSV points are written as `x y label; x y label`, and what a record lacks is left empty.

    Raises:
        ValueError: `path` cannot be written to, or is to be Parquet and pyarrow is not installed.
    """
    if Path(path).suffix == ".parquet":
        _write_parquet(Path(path), records)
        return
    usual = {field.name: field.default for field in fields(MaskRecord) if field.name in _OPTIONAL}
    empty = {name for name in usual if all(getattr(record, name) == usual[name] for record in records)}
    columns = [field.name for field in fields(MaskRecord) if field.name not in {"labels", *empty}]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for record in records:
            clicks = zip(record.points, record.labels, strict=True)
            row = {column: getattr(record, column) for column in columns}
            row["points"] = "; ".join(f"{_exact(x)} {_exact(y)} {label}" for (x, y), label in clicks)
            row |= {"in_summary": int(record.in_summary)} if "in_summary" in row else {}
            row["box"] = "" if record.box is None else " ".join(map(_exact, record.box))
            writer.writerow(row)


def read_records(path: str | Path) -> list[MaskRecord]:
    """The records of a file that `write_records` wrote, exactly as they were.

    Args:
        path: of the file, or the folder of an evaluation.

    Raises:
        ValueError: There is no such file, it holds something else, or it is Parquet and pyarrow is not installed.
    """
    path = records_path(path)
    try:
        rows = _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)
        records = [_record(row) for row in rows]
    except MissingPackageError:
        raise
    except (KeyError, TypeError, ValueError) as err:
        reason = f"it lacks {err}" if isinstance(err, KeyError) else str(err)
        raise ValueError(f"Expected the records of an interactive evaluation in {path}, but {reason}.") from err
    if not records:
        raise ValueError(f"Expected the records of an interactive evaluation in {path}, but it holds none.")
    return records


def records_path(path: str | Path) -> Path:
    """The file of records that a path means: itself, or the one in the folder of an evaluation.

    Raises:
        ValueError: There is none, or a folder holds two.
    """
    path = Path(path)
    if path.is_file():
        return path
    held = [path / name for name in NAMES.values() if (path / name).is_file()]
    if len(held) != 1:
        found = "both: name one of them" if held else "neither" if path.is_dir() else "nothing is there"
        raise ValueError(f"Expected {path} to be a file of records or a folder with {_names()}, but {found}.")
    return held[0]


def _names() -> str:
    return " or ".join(NAMES.values())


def _exact(number: float) -> str:
    """As short as it can be and still be read back as it was."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


def _record(row: Mapping[str, Any]) -> MaskRecord:
    """A record from a row in which lists are lists and missing values are None; unknown columns are passed over."""
    known: dict[str, Any] = {field.name: row.get(field.name) for field in fields(MaskRecord)}
    for field in fields(MaskRecord):
        if known[field.name] is None and field.default is MISSING:
            raise ValueError(f"it lacks a value for {field.name}")
        if known[field.name] is None:
            known[field.name] = field.default
    if known["prompt"] not in get_args(PromptKind):
        raise ValueError(f"it has the prompt {known['prompt']!r}")
    known["points"] = tuple((x, y) for x, y in row["points"])
    known["labels"] = tuple(row["labels"])
    known["box"] = None if row["box"] is None else tuple(row["box"])
    return MaskRecord(**known)


def _csv_rows(path: Path) -> Iterable[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield _parsed(row)
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ValueError(f"it cannot be read: {err}") from err


def _parsed(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of CSV as values."""
    if None in row.values():
        raise ValueError("it has a row that is cut off")
    clicks = [click.split() for click in row["points"].split(";") if click]
    parsed: dict[str, Any] = {
        name: text if name in ("image", "class_name") else text or None for name, text in row.items()
    }
    parsed |= {name: read(row[name]) for name, read in _NUMBERS.items() if row.get(name)}
    parsed["points"] = [(float(x), float(y)) for x, y, _ in clicks]
    parsed["labels"] = [int(label) for _, _, label in clicks]
    parsed["box"] = [float(edge) for edge in row["box"].split()] or None
    return parsed


def _write_parquet(path: Path, records: Sequence[MaskRecord]) -> None:
    pyarrow, parquet = (require(name, extra="data") for name in ("pyarrow", "pyarrow.parquet"))
    types = {
        name: pyarrow.int64() if kind is int else pyarrow.float64() for name, kind in _NUMBERS.items()
    } | {
        "points": pyarrow.list_(pyarrow.list_(pyarrow.float64())),
        "labels": pyarrow.list_(pyarrow.int64()),
        "box": pyarrow.list_(pyarrow.float64()),
        "in_summary": pyarrow.bool_(),
    }  # fmt: skip
    names = [field.name for field in fields(MaskRecord)]
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in names])
    rows = [{name: getattr(record, name) for name in names} for record in records]
    with atomic_write(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), temporary)


def _parquet_rows(path: Path) -> Iterable[dict[str, Any]]:
    pyarrow, parquet = (require(name, extra="data") for name in ("pyarrow", "pyarrow.parquet"))
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as err:
        raise ValueError(f"it cannot be read: {err}") from err
