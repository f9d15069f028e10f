from __future__ import annotations

import json
from pathlib import Path

import pytest

from sam_ft.files import atomic_write, write_json


def test_the_file_appears_complete_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "mask.nii.gz"
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"abc")
        assert not target.exists()
    assert target.read_bytes() == b"abc"
    assert [path.name for path in target.parent.iterdir()] == ["mask.nii.gz"]


def test_the_temporary_name_ends_like_the_final_one_and_lies_beside_it(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "mask.nii.gz") as temporary:
        temporary.touch()
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == tmp_path


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "summary.json"
    target.write_text("old")
    with pytest.raises(error), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "summary.json"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"got the folder {tmp_path}"), atomic_write(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file cannot be made"), atomic_write(tmp_path / "file" / "x.json"):
        pass


def test_json_comes_back_and_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    content = {"before": {"miou@1": 0.25}, "name": "Müller"}
    write_json(tmp_path / "summary.json", content)
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == content
    with pytest.raises(ValueError, match="summary.json, but got NaN"):
        write_json(tmp_path / "summary.json", {"miou@1": float("nan")})
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == content
