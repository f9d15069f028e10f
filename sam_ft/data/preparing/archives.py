"""Archives unpacked so that nothing leaves the folder, nothing is a link, and nothing fills the disk."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_PIECE = 1 << 20
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)

Member = tuple[str, int, Callable[[], IO[bytes]]]
"""(name inside the archive, its size in bytes as the archive says, what opens it)."""


class DamagedArchiveError(ValueError):
    """It is no archive, or not whole."""


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that `unpack` reads."""
    return path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> Path:
    """Unpacks a zip or tar archive into `folder`, which is there only once it is whole; then it is taken as it is.

    Names that a Macintosh adds (`__MACOSX`, `._name`) are left out. Checksums inside the archive are verified.

    Args:
        archive: The archive; what it is says its content, not its name.
        folder: Where its files go.
        max_bytes: The most that it may hold, unpacked.

    Returns:
        `folder`.

    Raises:
        DamagedArchiveError: It is no archive, truncated or damaged.
        ValueError: It holds a link, a device, a name that leads out of the folder, or more than `max_bytes`; or the
            disk has no room for it.
    """
    if folder.is_dir():
        return folder
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _extract(archive, partial, max_bytes=max_bytes)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _extract(archive: Path, folder: Path, *, max_bytes: int) -> None:
    room = min(max_bytes, shutil.disk_usage(folder).free)
    bar = tqdm(
        total=archive.stat().st_size,
        desc=f"unpacking {archive.name}",
        unit="B",
        unit_scale=True,
        mininterval=0.5 if sys.stderr.isatty() else 15,
        dynamic_ncols=True,
    )
    with bar:
        written = 0
        try:
            for name, size, open_member in _members(archive, bar):
                if written + size > room:
                    raise ValueError(_too_large(archive, max_bytes=max_bytes, room=room))
                target = folder.joinpath(*_safe_parts(name, archive).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                written = _copy(open_member, target, written=written, room=room)
                if written > room:  # the archive lied about the size
                    raise ValueError(_too_large(archive, max_bytes=max_bytes, room=room))
                if target.stat().st_size < size:
                    raise EOFError(f"{name} is cut off")
            if not any(folder.iterdir()):  # as `tarfile` finds it in zeros
                raise EOFError("it holds no file")
        except _DAMAGED as err:
            raise DamagedArchiveError(f"Expected a whole zip or tar archive in {archive}, but: {err}") from err


def _copy(open_member: Callable[[], IO[bytes]], target: Path, *, written: int, room: int) -> int:
    """Writes one member, but stops beyond `room`; returns how much is written in all."""
    with open_member() as source, target.open("wb") as file:
        while written <= room and (piece := source.read(_PIECE)):
            file.write(piece)
            written += len(piece)
    return written


def _members(archive: Path, bar: tqdm) -> Iterator[Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if info.is_dir() or _is_left_out(info.filename):
                    continue
                _expect_plain(info.filename, archive, is_plain=_is_plain(info))
                yield info.filename, info.file_size, lambda info=info: opened.open(info)  # type: ignore[misc]
                bar.update(info.compress_size)
    else:
        with archive.open("rb") as file, tarfile.open(fileobj=file) as opened_tar:
            for member in opened_tar:
                if member.isdir() or _is_left_out(member.name):
                    continue
                _expect_plain(member.name, archive, is_plain=member.isreg())
                yield member.name, member.size, lambda member=member: _opened(opened_tar, member)  # type: ignore[misc]
                bar.update(file.tell() - bar.n)
            _expect_end(opened_tar)


def _expect_end(archive: tarfile.TarFile) -> None:
    """Refuse a tar archive that stops between two files, which `tarfile` takes for its end."""
    if archive.fileobj is not None:
        archive.fileobj.seek(archive.offset)
        if len(archive.fileobj.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
            raise EOFError("it stops before its end")


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    if file is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    return file


def _is_plain(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG)


def _is_left_out(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and ("__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] == ".DS_Store")


def _expect_plain(name: str, archive: Path, *, is_plain: bool) -> None:
    if not is_plain:
        raise ValueError(f"Expected plain files in {archive}, but {name!r} is a link or a device.")


def _safe_parts(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or (name[1:2] == ":"):
        raise ValueError(f"Expected names inside the folder in {archive}, but {name!r} may lead out of it.")
    return path


def _too_large(archive: Path, *, max_bytes: int, room: int) -> str:
    if room < max_bytes:
        return f"Expected room for what is in {archive}, but the disk has only {room / 1e9:.1f} GB left."
    return f"Expected at most {max_bytes / 1e9:.1f} GB in {archive}, but it holds more: it is not that data set."
