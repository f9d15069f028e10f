"""One self-contained HTML page that shows what an evaluation found.

A `Page` holds headline numbers and sections; a section holds blocks: text, tables, pictures, rows of pictures,
facts, code. Styles and pictures are inside the page, nothing is loaded from elsewhere, every text is escaped. It
reads on a telephone and on a wide screen, in light and in dark mode.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from sam_ft.evaluation.records import miou_keys, prompt_words
from sam_ft.files import atomic_write
from sam_ft.pictures import BOX, CLICK_BACKGROUND, CLICK_FOREGROUND, PREDICTION, TRUTH


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


def render(page: Page) -> str:
    """The page as one HTML document."""
    style = resources.files("sam_ft.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    cards = "".join(map(_card, page.cards))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(page.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<div class="sheet">\n'
        f'<header>\n<h1>{escape(page.title)}</h1>\n<p class="subtitle">{escape(page.subtitle)}</p>\n</header>\n'
        + (f'<dl class="cards">{cards}</dl>\n' if cards else "")
        + f"<main>\n{''.join(map(_section, page.sections))}</main>\n"
        + (f"<footer>{escape(page.footer)}</footer>\n" if page.footer else "")
        + "</div>\n</body>\n</html>\n"
    )


def write_page(path: str | Path, page: Page) -> None:
    """Write the page as one HTML file, at once.

    Raises:
        ValueError: `path` cannot be written to.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(render(page), encoding="utf-8")


def miou_table(summaries: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per prompt, one column per summary; of exactly two summaries the difference as well.

    Args:
        summaries: from a name such as "before" to what `summarise` returns.
    """
    keys = list(dict.fromkeys(key for summary in summaries.values() for key in miou_keys(summary)))
    rows = []
    for key in keys:
        values = [summary.get(key) for summary in summaries.values()]
        cells = [figure_words(key), *("" if value is None else f"{value:.3f}" for value in values)]
        if len(values) == 2:
            before, after = values
            cells.append("" if before is None or after is None else signed(after - before))
        rows.append(cells)
    columns = ["prompt", *summaries, *(["difference"] if len(summaries) == 2 else [])]
    return Table(columns=columns, rows=rows, caption=measured_on(summaries))


def class_accuracy_table(summary: Mapping[str, float]) -> Table:
    """One row per prompt: how often the model has told the class, from what `summarise` returns."""
    found = {key: value for key, value in summary.items() if key.startswith("class_accuracy@")}
    rows = [[figure_words(key), f"{value:.3f}"] for key, value in found.items()]
    return Table(columns=["prompt", "class accuracy"], rows=rows, caption="Share of the masks whose class is told.")


def class_table(by_class: Mapping[str, Mapping[str, float]], *, heading: str = "class") -> Table:
    """One row per class or set, one column per prompt, from what `summarise_by_class` or `summarise_by_set` returns."""
    keys = list(dict.fromkeys(key for summary in by_class.values() for key in miou_keys(summary)))
    rows = [
        [name, f"{summary['num_masks']:,.0f}", *(f"{summary[key]:.3f}" if key in summary else "" for key in keys)]
        for name, summary in by_class.items()
    ]
    return Table(columns=[heading, "masks", *map(figure_words, keys)], rows=rows)


def signed(difference: float) -> str:
    """A difference with its sign and three places: `+0.125`, `−0.125`; `0.000` has none."""
    text = f"{abs(difference):.3f}"
    if float(text) == 0:
        return text
    return ("+" if difference > 0 else "\N{MINUS SIGN}") + text


def figure_words(key: str) -> str:
    """What a figure was asked with: `miou@3` -> "3 clicks"."""
    return prompt_words(key.partition("@")[2])


def measured_on(summaries: Mapping[str, Mapping[str, float]]) -> str:
    """Of how many masks and images a mean is, in a sentence."""
    counts = {(summary.get("num_masks"), summary.get("num_images")) for summary in summaries.values()}
    ((masks, images), *others) = counts or {(None, None)}
    if others or masks is None or images is None:
        return "Mean IoU over masks."
    return f"Mean IoU over {masks:,.0f} masks of {images:,.0f} images, at the resolution of the source."


def _card(card: Card) -> str:
    detail = f'<dd class="detail">{escape(card.detail)}</dd>' if card.detail else ""
    return f'<div class="card"><dt>{escape(card.label)}</dt><dd class="value">{escape(card.value)}</dd>{detail}</div>\n'


def _section(section: Section) -> str:
    lead = f'<p class="lead">{escape(section.lead)}</p>' if section.lead else ""
    blocks = "".join(map(_block, section.blocks))
    return (
        f'<section>\n<div class="heading"><h2>{escape(section.title)}</h2>{lead}</div>\n'
        f'<div class="blocks">\n{blocks}</div>\n</section>\n'
    )


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return f"<p>{escape(text)}</p>\n"
        case Table():
            return _table(block)
        case Picture():
            return _picture(block, kind="wide" if block.wide else "chart")
        case Gallery(rows, has_key):
            cases = "".join(map(_picture_row, rows))
            return f'{_KEY if has_key else ""}<div class="cases">\n{cases}</div>\n'
        case Facts(items):
            facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in items)
            return f'<dl class="facts">\n{facts}</dl>\n'
        case Code(text, summary):
            code = f"<pre><code>{escape(text)}</code></pre>"
            return f"<details><summary>{escape(summary)}</summary>{code}</details>\n" if summary else f"{code}\n"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(map(_cell, others))}</tr>\n' for first, *others in table.rows
    )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'
    )


def _cell(text: str) -> str:
    sign = re.match(r"([+\N{MINUS SIGN}-])\d", text)
    if sign is None:
        return f"<td>{escape(text)}</td>"
    return f'<td class="{"gain" if sign[1] == "+" else "loss"}">{escape(text)}</td>'


def _picture_row(row: PictureRow) -> str:
    pictures = "".join(_picture(picture, kind="panel") for picture in row.pictures)
    columns = f'style="--columns:{row.columns or len(row.pictures)}"'
    title = f"<h3>{escape(row.title)}</h3>" if row.title else ""
    return f'<div>{title}<div class="case" {columns}>{pictures}</div></div>\n'


def _picture(picture: Picture, *, kind: str) -> str:
    image = f'<img src="{_data_url(picture.png)}" alt="{escape(picture.alt)}">'
    if picture.png_dark is not None:
        dark = f'<source srcset="{_data_url(picture.png_dark)}" media="(prefers-color-scheme: dark)">'
        image = f"<picture>{dark}{image}</picture>"
    value = f" <b>{escape(picture.value)}</b>" if picture.value else ""
    caption = f"<figcaption><span>{escape(picture.caption)}</span>{value}</figcaption>"
    return f'<figure class="{kind}">{image}{caption if picture.caption or picture.value else ""}</figure>\n'


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


_KEY = (
    '<ul class="key">'
    f'<li><i style="border-color:{TRUTH}"></i>truth</li>'
    f'<li><i style="border-color:{PREDICTION};background:{PREDICTION}88"></i>prediction</li>'
    f'<li><i class="disc" style="background:{CLICK_FOREGROUND}"></i>click on the object</li>'
    f'<li><i class="diamond" style="background:{CLICK_BACKGROUND}"></i>click on the background</li>'
    f'<li><i style="border-color:{BOX}"></i>box</li>'
    "</ul>\n"
)
