"""`prepare`: fetch or take, verify, unpack, convert, write down what came out; and go on where it stopped."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sam_ft.data.folders import expanded
from sam_ft.data.preparing.archives import DamagedArchiveError, is_archive, unpack
from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.recipe import Recipe, RemoteFile
from sam_ft.data.preparing.record import Record, read_record, write_begun, write_record
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
    """What there is to convert: folders and files, and the SHA-256 of each published file by its name."""

    roots: list[Path] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)


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
    target = Target(order.output, limit=None if links is not None else order.limit)
    recipe.convert(Material(tuple(taken.roots), hint=_hint(recipe)), target)
    if not target.counts:
        places = ", ".join(map(str, taken.roots))
        raise ValueError(f"Expected {recipe.title} in {places}, but found nothing of it.")
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
    if path not in archives:
        taken.roots.append(path)
    for archive in archives:
        folder = output / _UNPACKED / f"{archive.name.split('.')[0]}-{taken.checksums[archive.name][-16:]}"
        try:
            taken.roots.append(unpack(archive, folder, max_bytes=_most_bytes(recipe, archive)))
        except DamagedArchiveError as err:
            if not is_fetched:
                raise
            archive.unlink()
            raise ValueError(f"{err}. It was removed; try again.") from err


def _verified(recipe: Recipe, path: Path, *, is_fetched: bool) -> str:
    """The file's SHA-256.

    Raises:
        ValueError: It is not the file that was published under its name.
    """
    file = {file.name: file for file in recipe.files}.get(path.name)
    if file is not None and file.checksum is not None and not is_fetched:
        found = checksum_of(path, like=file.checksum)
        if found != file.checksum:
            raise ValueError(f"Expected {file.checksum} for {path}, but got {found}: it is not the published file.")
    return checksum_of(path)


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
