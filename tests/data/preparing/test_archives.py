"""Archives that are what they should be, and archives that want something else."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from sam_ft.data.preparing.archives import DamagedArchiveError, is_archive, unpack

FILES = {"set/a.txt": b"alpha" * 100, "set/deep/b.txt": b"beta", "__MACOSX/set/._a.txt": b"x", "set/._a.txt": b"x"}
KEPT = {"set/a.txt": b"alpha" * 100, "set/deep/b.txt": b"beta"}
PLENTY = 10**6


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], *, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(path: Path, kind: bytes, *, target: str = "/etc/passwd") -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("set/special")
        info.type, info.linkname = kind, target
        archive.addfile(info)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expect_refused(archive: Path, reason: str, *, max_bytes: int = PLENTY) -> None:
    folder = archive.parent / "out" / "unpacked"
    with pytest.raises(ValueError, match=reason):
        unpack(archive, folder, max_bytes=max_bytes)
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "mode"), [("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.xz", "w:xz")]
)
def test_files_are_unpacked_without_what_a_macintosh_adds(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / name
    archive = tarred(path, FILES, mode=mode) if mode else zipped(path, FILES)
    assert is_archive(archive)
    assert contents(unpack(archive, tmp_path / "out", max_bytes=PLENTY)) == KEPT


def test_what_it_is_says_the_content_and_not_the_name(tmp_path: Path) -> None:
    assert contents(unpack(tarred(tmp_path / "a.zip", FILES), tmp_path / "out", max_bytes=PLENTY)) == KEPT


def test_a_folder_that_is_there_is_whole_and_taken(tmp_path: Path) -> None:
    unpack(zipped(tmp_path / "a.zip", FILES), tmp_path / "out", max_bytes=PLENTY)
    (tmp_path / "a.zip").write_bytes(b"gone")
    assert contents(unpack(tmp_path / "a.zip", tmp_path / "out", max_bytes=PLENTY)) == KEPT


def test_what_an_earlier_call_left_half_unpacked_is_done_again(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half").write_bytes(b"half")
    assert contents(unpack(zipped(tmp_path / "a.zip", FILES), tmp_path / "out", max_bytes=PLENTY)) == KEPT
    assert not (tmp_path / ".out.partial").exists()


@pytest.mark.parametrize("name", ["../outside", "set/../../outside", "/tmp/outside", "C:/outside", "set\\..\\outside"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str, make) -> None:
    expect_refused(make(tmp_path / "a.archive", {"set/a.txt": b"a", name: b"evil"}), "may lead out")
    assert not (tmp_path / "outside").exists() and not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_a_device_in_a_tar_is_refused(tmp_path: Path, kind: bytes) -> None:
    expect_refused(special(tmp_path / "a.tar", kind), "'set/special' is a link or a device")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("set/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    expect_refused(tmp_path / "a.zip", "'set/link' is a link or a device")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_more_than_was_expected_is_refused(tmp_path: Path, make) -> None:
    archive = make(tmp_path / "a.archive", {"zeros": bytes(300_000), "more": bytes(300_000)})
    expect_refused(archive, "at most 0.0 GB .* it is not that data set", max_bytes=500_000)


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"zeros": bytes(300_000)})
    content = path.read_bytes().replace((300_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert content != path.read_bytes()
    path.write_bytes(content)
    expect_refused(path, "Expected", max_bytes=1000)


def test_a_full_disk_is_said_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    expect_refused(zipped(tmp_path / "a.zip", FILES), "the disk has only 0.0 GB left")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("mode", ["", "w", "w:gz"])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, share: float, mode: str) -> None:
    files = {f"set/{number}": bytes([number]) * 3000 for number in range(40)}
    path = tmp_path / "a.archive"
    archive = tarred(path, files, mode=mode) if mode else zipped(path, files)
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(DamagedArchiveError, match=f"Expected a whole zip or tar archive in {archive}"):
        unpack(archive, tmp_path / "out", max_bytes=PLENTY)
    assert not (tmp_path / "out").exists()


def test_a_tar_that_stops_between_two_files_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {"one": bytes(512), "two": bytes(512)})
    archive.write_bytes(archive.read_bytes()[:1024])  # a header and a block
    with pytest.raises(DamagedArchiveError, match="stops before its end"):
        unpack(archive, tmp_path / "out", max_bytes=PLENTY)


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", b"a" * 1000)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[500] = ord("b")
    (tmp_path / "a.zip").write_bytes(content)
    expect_refused(tmp_path / "a.zip", "Bad CRC-32")


@pytest.mark.parametrize("content", [b"", b"<html>", bytes(5000)])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    expect_refused(tmp_path / "a.zip", "Expected a whole zip or tar archive")
