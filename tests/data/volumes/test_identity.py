from __future__ import annotations

import gzip
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sam_ft.data.volumes.identity import FileIdentity

_file_digest = hashlib.file_digest


def test_the_same_content_is_known_under_another_name(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"x" * 500_000)
    a, b = (FileIdentity.of([tmp_path / name]) for name in "ab")
    assert a.content == b.content
    assert a.key("image") != a.key("label") and a.key("image", 1) != a.key("image", None)


@pytest.mark.parametrize("place", [0, 100_000, 260_000, 400_000, 499_999])
def test_a_change_of_the_same_size_and_time_shows_anywhere(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a"
    content = bytearray(500_000)
    path.write_bytes(content)
    before, time_ns = FileIdentity.of([path]), path.stat().st_mtime_ns
    content[place] = 1
    path.write_bytes(content)
    os.utime(path, ns=(time_ns, time_ns))
    assert FileIdentity.of([path]).key() != before.key()


def keep_time(path: Path, content: bytes) -> None:
    """Writes into a file in place and gives it back the time that it had."""
    stat = path.stat()
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def stored(content: bytes) -> bytes:
    """A member of a gzip file, as long for every content of one length."""
    return gzip.compress(content, compresslevel=0, mtime=0)


@pytest.mark.parametrize("inflated_bytes", [None, 900_000])
def test_any_changed_byte_shows_in_a_gzip_file_of_the_same_size_and_time(
    tmp_path: Path, inflated_bytes: int | None
) -> None:
    path = tmp_path / "a.gz"
    content = bytearray(os.urandom(900_000))
    path.write_bytes(stored(content))
    before, stat = FileIdentity.of([path], inflated_bytes=inflated_bytes), path.stat()
    content[200_000] ^= 1  # in none of the pieces; the checksum at the end is another one
    keep_time(path, stored(content))
    after = FileIdentity.of([path], inflated_bytes=inflated_bytes)
    assert path.stat().st_size == stat.st_size and after.times_ns == before.times_ns
    assert after.content != before.content


@pytest.mark.parametrize("second", [b"", b"x" * 400_000], ids=["as bgzip ends", "joined"])
def test_any_changed_byte_shows_in_a_gzip_file_of_several_members(tmp_path: Path, second: bytes) -> None:
    path = tmp_path / "a.gz"
    content = bytearray(os.urandom(900_000))
    path.write_bytes(stored(content) + stored(second))
    expected = len(content) + len(second)
    before = FileIdentity.of([path], inflated_bytes=expected)
    content[200_000] ^= 1  # what stands at the end of the file stays the same
    keep_time(path, stored(content) + stored(second))
    assert FileIdentity.of([path], inflated_bytes=expected).key() != before.key()


def test_three_pieces_are_read_of_a_gzip_file_that_holds_what_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(stored(os.urandom(900_000)))
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("it reads the whole file"))
    FileIdentity.of([path], inflated_bytes=900_000)


def test_an_unchanged_file_is_read_once_in_a_process_and_a_changed_one_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def counted(*given: Any) -> Any:
        reads.append(1)
        return _file_digest(*given)

    monkeypatch.setattr("hashlib.file_digest", counted)
    path = tmp_path / "a.nii"
    path.write_bytes(b"x" * 500_000)
    young = [FileIdentity.of([path]) for _ in range(2)]  # it may be written again within the same tick of the clock
    assert young[0] == young[1] and len(reads) == 2
    monkeypatch.setattr("sam_ft.data.volumes.identity._SETTLED_NS", -1)
    assert [FileIdentity.of([path]) for _ in range(3)] == [young[0]] * 3 and len(reads) == 3
    time.sleep(0.05)
    keep_time(path, b"y")
    assert FileIdentity.of([path]).content != young[0].content and len(reads) == 4


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
