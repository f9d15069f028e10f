from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sam_ft.data import leaks
from sam_ft.data.leaks import refuse_shared_groups, refuse_shared_images


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_one_content_in_two_parts_is_refused_and_both_files_are_named(tmp_path: Path) -> None:
    same = [write(tmp_path / name, b"x" * 50_000) for name in ("a.png", "b.png", "c.png")]
    other = write(tmp_path / "d.png", b"y" * 50_000)
    refuse_shared_images({"train": same, "val": [other]})
    with pytest.raises(ValueError, match=r"a.png \(train\) and .*c.png \(test\) have the same content"):
        refuse_shared_images({"train": same[:2], "val": [other], "test": same[2:]})


@pytest.mark.parametrize("place", [0, 9_000, 25_000, 49_999])
def test_one_byte_anywhere_makes_another_image(tmp_path: Path, place: int) -> None:
    content = bytearray(50_000)
    first = write(tmp_path / "a.png", bytes(content))
    content[place] = 1
    refuse_shared_images({"train": [first], "val": [write(tmp_path / "b.png", bytes(content))]})


def test_files_are_opened_only_where_two_parts_share_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write(tmp_path / f"{size}_{name}", os.urandom(size)) for name in "ab" for size in (10, 20, 30)]
    opened: list[str] = []

    def pieces(path: Path) -> object:
        opened.append(path.name)
        return path

    monkeypatch.setattr(leaks, "_pieces", pieces)
    refuse_shared_images({"train": [*files[:3], files[3]], "val": [files[4]]})
    assert sorted(opened) == ["20_a", "20_b"]


def test_pictures_of_one_colour_prove_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.npy" for name in "ab"]
    for path in paths:
        np.save(path, np.full((5, 6, 3), (255, 250, 240), dtype=np.uint8))
    refuse_shared_images({"train": paths[:1], "val": paths[1:]})
    for path in paths:
        np.save(path, np.arange(30).reshape(5, 6))
    with pytest.raises(ValueError, match="same content"):
        refuse_shared_images({"train": paths[:1], "val": paths[1:]})


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in "ab":
        os.mkfifo(tmp_path / name)
    refuse_shared_images({"train": [tmp_path / "a", tmp_path / "missing"], "val": [tmp_path / "b"]})


def test_a_group_in_two_parts_is_named_with_a_file_of_either() -> None:
    groups = [("p1", Path("a")), ("p1", Path("b")), ("p2", Path("c"))]
    refuse_shared_groups({"train": groups[:2], "test": groups[2:]})
    with pytest.raises(ValueError, match=r"p1 is in train \(a\) and in test \(b\)"):
        refuse_shared_groups({"train": groups[:1], "test": groups[1:]})
