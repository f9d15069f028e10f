"""A page as one HTML document: styles and pictures are inside, nothing is loaded from elsewhere, texts are escaped.

It reads on a telephone and on a wide screen, in light and in dark mode.
"""

from __future__ import annotations

import base64
import re
from html import escape
from importlib import resources
from pathlib import Path

from sam_ft.files import atomic_write
from sam_ft.pages.page import Block, Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section, Table, Text
from sam_ft.pictures import BOX, CLICK_BACKGROUND, CLICK_FOREGROUND, PREDICTION, TRUTH


def render(page: Page) -> str:
    """The page as one HTML document."""
    style = resources.files("sam_ft.pages").joinpath("page.css").read_text(encoding="utf-8")
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
        is_whole = ' class="figure"' if re.fullmatch(r"[\d.,]+ \[[^\]]*\]", text) else ""  # a line never breaks in it
        return f"<td{is_whole}>{escape(text)}</td>"
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
