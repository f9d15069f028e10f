from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sam_ft.evaluation.records.file import read_records, records_path, write_records
from sam_ft.evaluation.records.mask_record import MaskRecord

PLAIN = MaskRecord("a", 0, "cord", 9, "box", 0, 0.1 + 0.2, 1 / 3, box=(0, 0, 2, 2.5))
CLICKED = MaskRecord(
    'b, "c"\nd', 7, "", 12345, "click", 3, 5e-324, 1.0,
    predicted_class="lesion", points=((1, 2.5), (1234567.0, 1 / 3)), labels=(1, 0), set_name="one",
    oracle_iou=0.7, clicks_to_85=2, clicks_to_90=3, boundary_iou=1 / 7,
)  # fmt: skip
BOTH = [PLAIN, CLICKED, replace(CLICKED, prompt="box", box=(0.1, 0, 3, 1e-7), clicks_to_90=None, oracle_iou=None)]
BETWEEN = replace(CLICKED, num_clicks=2, in_summary=False)


@pytest.fixture(params=["records.csv", "records.parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param.endswith("parquet"):
        pytest.importorskip("pyarrow")
    return tmp_path / request.param


@pytest.mark.parametrize(
    "records", [BOTH, [PLAIN], [CLICKED], [*BOTH, BETWEEN]], ids=["both", "plain", "clicked", "between"]
)
def test_records_come_back_exactly_as_they_were(path: Path, records: list[MaskRecord]) -> None:
    write_records(path, records)
    assert read_records(path) == records
    assert read_records(path.parent) == records


def test_whole_coordinates_are_written_short(tmp_path: Path) -> None:
    write_records(tmp_path / "records.csv", [PLAIN, CLICKED])
    with (tmp_path / "records.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["box"] == "0 0 2 2.5" and rows[0]["points"] == "" and rows[0]["clicks_to_85"] == ""
    assert rows[1]["points"] == "1 2.5 1; 1234567.0 0.3333333333333333 0"


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    write_records(tmp_path / "records.csv", [PLAIN])
    header = (tmp_path / "records.csv").read_text().splitlines()[0]
    assert not {"set_name", "oracle_iou", "clicks_to_85", "clicks_to_90", "boundary_iou", "in_summary"} & set(
        header.split(",")
    )


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "holds none"),
        ("a,b\n1,2\n", "lacks"),
        ("image,object_index\nx\n", "cut off"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_what_are_no_records_is_refused_with_the_path(tmp_path: Path, text: str | bytes, expected: str) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"other\.csv, but .*{expected}"):
        read_records(path)


@pytest.mark.parametrize(
    "column, text, expected", [("iou", "", "iou"), ("prompt", "lasso", "lasso"), ("area_px", "nine", "nine")]
)
def test_a_wrong_value_is_refused(tmp_path: Path, column: str, text: str, expected: str) -> None:
    write_records(tmp_path / "records.csv", [PLAIN])
    with (tmp_path / "records.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    with (tmp_path / "records.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow({**row, column: text})
    with pytest.raises(ValueError, match=expected):
        read_records(tmp_path / "records.csv")


def test_a_folder_without_records_or_with_two_files_of_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing is there"):
        records_path(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="neither"):
        records_path(tmp_path)
    for name in ("records.csv", "records.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="name one of them"):
        records_path(tmp_path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "records.parquet").touch()
    for call in (lambda: write_records(tmp_path / "a.parquet", BOTH), lambda: read_records(tmp_path)):
        with pytest.raises(ValueError, match=r"sam-ft\[data\]"):
            call()
