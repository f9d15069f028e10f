"""`prepare`: fetch or take, verify, unpack, convert, write down what came out; and go on where it stopped."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sam_ft.data.folders import expanded
from sam_ft.data.preparing.archives import DamagedArchiveError, is_archive, unpack
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.record import Record, note_files, read_record, write_begun, write_record
from sam_ft.data.preparing.target import Target
from sam_ft.download import PATIENT, Patience, checksum_of, fetch

_logger = logging.getLogger(__name__)

DOWNLOADS = "downloads"
_UNPACKED = ".unpacked"
_SPARE_FACTOR = 3
"""How many times larger than stated the content of an archive may be before it is taken for something else."""
_RESULT_FACTOR = 1.2
"""The most that unpacked files and the result, which shares them, take together: label maps are small."""


@dataclass(frozen=True)
class Order:
    """What the user asked for.

    Args:
        output: The folder to prepare the data set in.
        sources: Files and folders that are here already, instead of a download.
        limit: At most so many images or volumes for each part, or files of the user's list of links; None: all.
    """

    output: Path
    sources: tuple[Path, ...] = ()
    limit: int | None = None


@dataclass(frozen=True)
class _Taken:
    """What there is to convert.

    Args:
        roots: Folders and files.
        checksums: The SHA-256 of each published file by its name.
        unverified: Downloads that have no published checksum.
    """

    roots: list[Path] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)
    unverified: list[Path] = field(default_factory=list)


def prepare(recipe: Recipe, order: Order, *, patience: Patience = PATIENT) -> Record:
    """Prepares a data set in `order.output`; one that is there already is taken as it is.

    Raises:
        ValueError: A folder that holds something else, a source that is not there or not what it should be, a download
            that failed, too little room; what to do about it is said.
    """
    order = replace(order, output=expanded(order.output), sources=tuple(map(expanded, order.sources)))
    _expect_usable(recipe, order)
    if (done := read_record(recipe, order.output, limit=order.limit)) is not None:
        return done
    links, sources = _links_of(recipe, order.sources)
    if links is not None:
        files = tuple(links[: order.limit])
        recipe = replace(recipe, files=files, unpacked_mb=sum(file.megabytes for file in files), by_hand="")
    fetched = bool(recipe.files) and not sources
    expect_room(order.output, megabytes=_needed_mb(recipe, order.output, sources))
    write_begun(recipe, order.output, limit=order.limit, sources=sources)
    taken = _Taken()
    for path in (
        (_fetched(recipe, file, order.output, patience=patience) for file in recipe.files) if fetched else sources
    ):
        _take(recipe, path, taken, output=order.output, is_fetched=fetched)
    note_files(order.output, taken.checksums)
    target = Target(order.output, limit=None if links is not None else order.limit)
    _convert(recipe, taken, target)
    record = write_record(
        recipe, order.output, limit=order.limit, counts=target.counts, files=taken.checksums, sources=sources
    )
    shutil.rmtree(order.output / _UNPACKED, ignore_errors=True)
    return record


def expect_room(folder: Path, *, megabytes: float) -> None:
    """Refuse to begin what the disk of a folder has no room for.

    Raises:
        ValueError: It has not.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < megabytes * 1e6:
        raise ValueError(
            f"Expected about {megabytes / 1000:.1f} GB free at {folder}, but the disk has only {free / 1e9:.1f} GB "
            "left: give --output on another disk."
        )


def _expect_usable(recipe: Recipe, order: Order) -> None:
    if order.output.exists() and not order.output.is_dir():
        raise ValueError(f"Expected a folder to write to, but {order.output} is a file.")
    if order.limit is not None and order.limit < 1:
        raise ValueError(f"Expected `limit` of 1 or more, but got {order.limit}.")
    for source in order.sources:
        if not source.exists():
            raise ValueError(f"Expected a file or folder at {source}, but nothing is there.")
        if order.output.resolve().is_relative_to(source.resolve()):
            raise ValueError(f"Expected an --output outside of the source {source}, but got {order.output}.")
    if order.sources and not recipe.files and recipe.read_links is None:
        raise ValueError(f"Expected no --source for {recipe.name}, which comes with a Python package.")
    if recipe.by_hand and not order.sources and read_record(recipe, order.output, limit=order.limit) is None:
        raise ValueError(f"Expected --source for {recipe.name}: {recipe.by_hand}")


def _links_of(recipe: Recipe, sources: Sequence[Path]) -> tuple[list[RemoteFile] | None, tuple[Path, ...]]:
    """The files of the user's list of links, if that is the source; and the sources without it."""
    lists = [source for source in sources if source.is_file() and source.suffix in (".txt", ".tsv")]
    if recipe.read_links is None or not lists:
        return None, tuple(sources)
    return recipe.read_links(lists[0]), tuple(source for source in sources if source not in lists)


def _needed_mb(recipe: Recipe, output: Path, sources: Sequence[Path]) -> float:
    """Downloads and the result, which takes most of its files from what is unpacked; without what is there already."""
    needed = _RESULT_FACTOR * recipe.unpacked_mb
    if sources:
        given = sum(_size_mb(path) for source in sources for path in _archives_in(recipe, source) or [source])
        needed = _RESULT_FACTOR * (given if recipe.read_links else min(recipe.unpacked_mb, _SPARE_FACTOR * given))
    else:
        needed += recipe.download_mb
    return max(needed - _size_mb(output), 0)


def _size_mb(path: Path) -> float:
    """Of a file, or of all files in a folder, in 10**6 bytes; 0 where nothing is."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _fetched(recipe: Recipe, file: RemoteFile, output: Path, *, patience: Patience) -> Path:
    """The downloaded file.

    Raises:
        ValueError: It cannot be had; or it has no published checksum and is a web page, or no text where it should be.
    """
    path = fetch(file.url, output / DOWNLOADS / file.name, checksum=file.checksum, patience=patience)
    if file.checksum is None:
        with path.open("rb") as opened:
            begin = opened.read(64).lstrip()
        if begin.startswith(b"<") or (not is_archive(path) and b"\0" in begin):
            path.unlink()
            raise ValueError(
                f"Expected {file.name} at {file.url}, but got something else, which was removed. Try again, or get it "
                f"at {recipe.homepage} and give --source."
            )
    return path


def _take(recipe: Recipe, path: Path, taken: _Taken, *, output: Path, is_fetched: bool) -> None:
    """Adds a file or a folder: archives are verified and unpacked, the checksum of each published file is noted."""
    archives = _archives_in(recipe, path)
    for file in archives or [path] * path.is_file():
        taken.checksums[file.name] = _verified(recipe, file, is_fetched=is_fetched)
        if is_fetched and _published_checksum(recipe, file) is None:
            taken.unverified.append(file)
    if path not in archives:
        taken.roots.append(path)
    for archive in archives:
        folder = output / _UNPACKED / f"{archive.name.split('.')[0]}-{taken.checksums[archive.name][-16:]}"
        try:
            with _doubting([file for file in taken.unverified if file == archive]):
                taken.roots.append(unpack(archive, folder, max_bytes=_most_bytes(recipe, archive)))
        except DamagedArchiveError as err:
            if not is_fetched:
                raise
            archive.unlink()
            raise ValueError(f"{err}. It was removed; try again.") from err


def _verified(recipe: Recipe, path: Path, *, is_fetched: bool) -> str:
    """The file's SHA-256; it is read once more only where the publisher has an MD5.

    A download is verified too, since it may be here from before: put there by hand, or damaged on the disk.

    Raises:
        ValueError: It is not the file that was published under its name.
    """
    sha256, expected = checksum_of(path), _published_checksum(recipe, path)
    if expected is not None:
        found = sha256 if expected.startswith("sha256:") else checksum_of(path, like=expected)
        if found != expected:
            way_out = " Remove it, and the same command fetches it." if is_fetched else ""
            raise ValueError(f"Expected {expected} for {path}, but got {found}: it is not the published file.{way_out}")
    return sha256


def _published_checksum(recipe: Recipe, path: Path) -> str | None:
    """What the publisher says of the file of that name; None: nothing."""
    return {file.name: file.checksum for file in recipe.files}.get(path.name)


def _convert(recipe: Recipe, taken: _Taken, target: Target) -> None:
    """Writes the parts.

    Raises:
        ValueError: What was taken is not the data set; downloads that nobody could verify are named.
    """
    with _doubting(taken.unverified):
        recipe.convert(Material(tuple(taken.roots), hint=_hint(recipe)), target)
        if not target.counts:
            places = ", ".join(map(str, taken.roots))
            raise ValueError(f"Expected {recipe.title} in {places}, but found nothing of it.")


@contextmanager
def _doubting(downloads: Sequence[Path]) -> Iterator[None]:
    """Adds to an error of what reads them that one of these downloads may be to blame."""
    try:
        yield
    except DamagedArchiveError:
        raise
    except ValueError as err:
        if not downloads:
            raise
        more = f" and {len(downloads) - 4} more" if len(downloads) > 4 else ""
        raise ValueError(
            f"{str(err).rstrip('.')}. No checksum is published of {', '.join(path.name for path in downloads[:4])}"
            f"{more}: if a download is damaged, remove it from {downloads[0].parent}, and the same command fetches it "
            "again."
        ) from err


def _archives_in(recipe: Recipe, source: Path) -> list[Path]:
    """The published archives that lie in a folder; or the file, if it is an archive."""
    if not source.is_dir():
        return [source] * is_archive(source)
    if recipe.read_links is not None:
        return sorted(path for path in source.iterdir() if is_archive(path))
    published = {file.name for file in recipe.files if is_archive(Path(file.name))}
    return sorted(source / name for name in published if (source / name).is_file())


def _most_bytes(recipe: Recipe, archive: Path) -> int:
    stated = recipe.unpacked_mb * 1e6
    if recipe.read_links is not None:
        stated = archive.stat().st_size  # shards are not compressed
    return int(_SPARE_FACTOR * stated + 2e7)


def _hint(recipe: Recipe) -> str:
    if recipe.by_hand:
        return f"To get it, {recipe.by_hand}"
    return f"--source takes {', '.join(file.name for file in recipe.files)} or the folder that they unpack to."
