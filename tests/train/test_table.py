"""`sam-ft table` as a user meets it; evaluations themselves are in the other tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sam_ft.evaluation.comparing.measured import Measured, add_measured, names_digest

Program = Callable[..., Any]


@pytest.fixture
def folds(tmp_path: Path) -> None:
    """Three folds of one volume each, two models."""
    for number in range(3):
        for name, dice in (("sam", 0.5 + 0.1 * number), ("unet", 0.2)):
            folder = tmp_path / "spine" / str(number) / name
            folder.mkdir(parents=True)
            (folder / "summary.json").write_text(json.dumps({"dice": dice, "nsd": 0.25}))
            measured = Measured(
                checkpoint=f"{name}.ckpt",
                protocol="volumes",
                settings={},
                part="val",
                num_images=1,
                images=names_digest([f"case {number}"]),
                num_samples=8,
            )
            add_measured(folder / "summary.json", measured)


@pytest.mark.usefixtures("folds")
def test_folds_are_named_one_by_one_or_by_a_pattern(sam_ft: Program, tmp_path: Path) -> None:
    unet = [f"U-Net=spine/{number}/unet" for number in range(3)]
    done = sam_ft("evaluate", "table", "SAM=spine/*/sam", *unet, "--output", "out", "--figures", "dice")
    assert done.code == 0, done.err
    assert "3 volumes of part=val. Means over 3 folds" in done.out
    assert "| model | DSC |" in done.out and "| SAM | 0.600 |" in done.out and "| U-Net | 0.200 |" in done.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.md", "table.tex", "table.json"}
    alone = sam_ft("table", "SAM=spine/0/sam")
    assert alone.code == 0 and "| SAM | 0.500 | 0.250 |" in alone.out


@pytest.mark.usefixtures("folds")
@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["spine/0/sam"], "NAME=FOLDER such as"),
        (["SAM=spine/9/sam"], "at spine/9/sam, but nothing is there"),
        (["SAM=spine/*/nothing"], "at spine/*/nothing, but nothing is there"),
        (["SAM=spine/0/sam", "output=out"], "where to write is --output"),
        (["SAM=spine"], "spine/summary.json"),
        (["SAM=spine/0/sam", "U-Net=spine/1/unet"], "the same images"),
        (["SAM=spine/*/sam", "U-Net=spine/0/unet"], "3 for SAM and 1 for U-Net"),
        (["SAM=spine/0/sam", "--figures", "dise"], "out of dice, nsd, but got dise"),
    ],
)
def test_what_cannot_be_joined_is_one_line_and_writes_nothing(
    sam_ft: Program, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = sam_ft("table", *arguments, *(["--output", "out"] if "output=out" not in arguments else []))
    assert done.code == 2 and done.err.startswith("sam-ft: ") and done.err.count("\n") == 1
    assert expected in done.err, done.err
    assert not (tmp_path / "out").exists()
