"""What a page holds: headline numbers and sections of text, tables, pictures, facts and code.

`sam_ft.pages.html` makes one HTML document of it, `sam_ft.pages.tables` Markdown and LaTeX of its tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A headline number."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Text in the first column, numbers in the others; a cell that begins with a sign is a gain or a loss."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG with what it shows in words; `value` stands at the caption's right, such as an IoU."""

    png: bytes
    alt: str
    caption: str = ""
    value: str = ""
    png_dark: bytes | None = None  # shown instead in dark mode
    wide: bool = False  # as wide as the page


@dataclass(frozen=True)
class PictureRow:
    """Pictures side by side that belong to one object."""

    title: str
    pictures: Sequence[Picture]
    columns: int | None = None  # places for pictures; None: as many as there are


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures one below the other, under a key to the colours of `sam_ft.pictures` if it has one."""

    rows: Sequence[PictureRow]
    has_key: bool = True


@dataclass(frozen=True)
class Facts:
    """Names and values: versions, files, licences."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """A command or a configuration; with a `summary` it is folded under that line."""

    text: str
    summary: str = ""


Block = Text | Table | Picture | Gallery | Facts | Code


@dataclass(frozen=True)
class Section:
    """A heading, a sentence beside it, and what it is about."""

    title: str
    blocks: Sequence[Block]
    lead: str = ""


@dataclass(frozen=True)
class Page:
    """The whole page."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    cards: Sequence[Card] = ()
    footer: str = ""
