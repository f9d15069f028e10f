from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from sam_ft.data.nifti.identity import FileIdentity


def test_the_same_content_is_known_under_another_name(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"x" * 500_000)
    a, b = (FileIdentity.of([tmp_path / name]) for name in "ab")
    assert a.content == b.content
    assert a.key("image") != a.key("label") and a.key("image", 1) != a.key("image", None)


@pytest.mark.parametrize("place", [0, 260_000, 499_999])
def test_a_change_of_the_same_size_and_time_shows_in_the_pieces_that_are_hashed(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a"
    content = bytearray(500_000)
    path.write_bytes(content)
    before, time_ns = FileIdentity.of([path]), path.stat().st_mtime_ns
    content[place] = 1
    path.write_bytes(content)
    os.utime(path, ns=(time_ns, time_ns))
    assert FileIdentity.of([path]).key() != before.key()


def test_any_changed_byte_shows_in_a_gzip_file_of_the_same_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    content = bytearray(os.urandom(900_000))
    path.write_bytes(gzip.compress(content, compresslevel=0, mtime=0))
    before, stat = FileIdentity.of([path]), path.stat()
    content[200_000] ^= 1  # in none of the pieces; the checksum at the end is another one
    path.write_bytes(gzip.compress(content, compresslevel=0, mtime=0))
    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size and FileIdentity.of([path]).content != before.content


def test_a_touched_or_vanished_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    path.write_bytes(b"1")
    identity = FileIdentity.of([path])
    identity.refuse_change()
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match="scan.nii as it was .*written since"):
        identity.refuse_change()
    path.unlink()
    with pytest.raises(ValueError, match="scan.nii as it was .*No such file"):
        identity.refuse_change()


def test_an_empty_file_has_an_identity(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert FileIdentity.of([tmp_path / "a"]).sizes == (0,)
