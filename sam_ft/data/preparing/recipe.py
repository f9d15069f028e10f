"""`Recipe`: all that is known about one public data set, and how it becomes what a `data` config reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sam_ft.data.preparing.material import Material
from sam_ft.data.preparing.target import Target

Convert = Callable[[Material, Target], None]
"""Reads the files of a data set as its publisher laid them out, and writes them where a `data` config finds them."""

ReadLinks = Callable[[Path], list["RemoteFile"]]
"""Reads the list of links that a publisher gives to each user."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that a data set is published as.

    Args:
        url: Where it lies.
        name: What it is called once it is here; a reader may have it under this name already.
        megabytes: About how large it is, in 10**6 bytes.
        checksum: What `sam_ft.download.fetch` takes; None: not published.
    """

    url: str
    name: str
    megabytes: float
    checksum: str | None = None


@dataclass(frozen=True)
class Recipe:
    """One data set.

    Args:
        name: What `sam-ft prepare` calls it.
        title: What it is, in one line.
        homepage: Where its publisher describes it.
        licence: As its publisher states it.
        citation: What to cite.
        files: What it is published as; none where a Python package brings it.
        unpacked_mb: About how large its files are unpacked, in 10**6 bytes.
        splits: How it is divided into parts, in words.
        convert: Writes the parts.
        fit: What follows `sam-ft fit` to train on it; `{root}` is the folder.
        by_hand: Why it cannot be fetched without its user, and what to do, in one line; empty: it can.
        read_links: Reads the user's own list of links, which then replaces `files`; None: there is no such list.
    """

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    files: tuple[RemoteFile, ...]
    unpacked_mb: float
    splits: str
    convert: Convert
    fit: str
    by_hand: str = ""
    read_links: ReadLinks | None = None

    @property
    def download_mb(self) -> float:
        """About how much is fetched, in 10**6 bytes."""
        return sum(file.megabytes for file in self.files)
