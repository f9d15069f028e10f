from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sam_ft.evaluation.showing.miou_tables import class_table, miou_table
from sam_ft.pages.html import render, write_page
from sam_ft.pages.page import Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section, Table, Text
from sam_ft.pages.tables import signed

BEFORE = {"miou@1": 0.25, "miou@5": 0.5, "miou@box": 0.75, "num_masks": 1200, "num_images": 30}
AFTER = {"miou@1": 0.5, "miou@5": 0.5, "miou@box": 0.625, "num_masks": 1200, "num_images": 30}
EVIL = "<script>alert('\"&')</script>"
VOID = {"meta", "img", "source"}


class Reader(HTMLParser):
    """Checks that elements close in order and keeps what the page would load and say."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.urls: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.urls += [value or "" for name, value in attrs if name in ("src", "srcset", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page() -> Page:
    picture = Picture(b"light", alt=EVIL, caption=EVIL, value=EVIL, png_dark=b"dark")
    blocks = [
        Text(EVIL),
        Table(columns=("a", EVIL), rows=((EVIL, EVIL), ("b", "+0.125"), ("c", "\N{MINUS SIGN}0.125")), caption=EVIL),
        picture,
        Picture(b"wide", alt="wide", wide=True),
        Gallery([PictureRow(EVIL, [picture, picture])]),
        Facts([(EVIL, EVIL)]),
        Code(EVIL),
        Code(EVIL, summary=EVIL),
    ]
    return Page(EVIL, EVIL, [Section(EVIL, blocks, lead=EVIL)], cards=[Card(EVIL, EVIL, EVIL)], footer=EVIL)


def test_every_text_is_escaped_and_every_element_closed(page: Page) -> None:
    html = render(page)
    reader = Reader(html)
    assert reader.open == []
    assert "script" not in reader.elements
    assert reader.text.count(EVIL) == 26
    assert "<script" not in html


def test_the_page_loads_nothing_from_elsewhere(page: Page) -> None:
    html = render(page)
    assert "http" not in html and "url(" not in html and "@import" not in html
    assert "link" not in Reader(html).elements
    contents = [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in Reader(html).urls]
    assert contents == [b"dark", b"light", b"wide", b"dark", b"light", b"dark", b"light"]


def test_gains_and_losses_are_told_apart_and_other_cells_are_left_alone(page: Page) -> None:
    html = render(page)
    assert '<td class="gain">+0.125</td>' in html
    assert '<td class="loss">\N{MINUS SIGN}0.125</td>' in html
    assert len(re.findall(r"<td>", html)) == 1


def test_a_figure_and_its_interval_stay_on_one_line_and_texts_do_not() -> None:
    rows = [["a", "0.708 [0.690, 0.725]"], ["b", "1,204 [1,100, 1,300]"], ["c", "better [0.1, 0.2]"]]
    html = render(Page("t", "s", [Section("x", [Table(["name", "value"], rows)])]))
    assert html.count('<td class="figure">') == 2 and "<td>better [0.1, 0.2]</td>" in html


def test_an_empty_page_is_a_page() -> None:
    reader = Reader(render(Page("title", "subtitle", [])))
    assert reader.open == []
    assert "dl" not in reader.elements and "footer" not in reader.elements


def test_two_summaries_give_their_difference() -> None:
    table = miou_table({"before": BEFORE, "after": AFTER})
    assert table.columns == ["prompt", "before", "after", "difference"]
    assert table.rows == [
        ["1 click", "0.250", "0.500", "+0.250"],
        ["5 clicks", "0.500", "0.500", "0.000"],
        ["box", "0.750", "0.625", "\N{MINUS SIGN}0.125"],
    ]
    assert "1,200 masks of 30 images" in table.caption


def test_one_summary_gives_no_difference_and_a_missing_prompt_stays_empty() -> None:
    assert miou_table({"mIoU": AFTER}).columns == ["prompt", "mIoU"]
    table = miou_table({"before": {"miou@1": 0.5}, "after": {"miou@box": 0.5}})
    assert table.rows == [["1 click", "0.500", "", ""], ["box", "", "0.500", ""]]
    assert table.caption == "Mean IoU over masks."


def test_masks_of_different_numbers_are_not_said_to_be_the_same() -> None:
    assert "of" not in miou_table({"before": BEFORE, "after": {**AFTER, "num_masks": 3}}).caption


def test_classes_have_a_row_each() -> None:
    table = class_table({"cord": BEFORE, "lesion": {"miou@1": 1.0, "num_masks": 2}})
    assert table.columns == ["class", "masks", "1 click", "5 clicks", "box"]
    assert table.rows == [["cord", "1,200", "0.250", "0.500", "0.750"], ["lesion", "2", "1.000", "", ""]]


def test_a_difference_that_rounds_to_zero_has_no_sign() -> None:
    assert [signed(value) for value in (0.0004, -0.0004, 0.0006)] == ["0.000", "0.000", "+0.001"]


def test_the_page_is_written_at_once(tmp_path: Path, page: Page) -> None:
    write_page(tmp_path / "demo" / "index.html", page)
    assert (tmp_path / "demo" / "index.html").read_text(encoding="utf-8") == render(page)
    assert len(list((tmp_path / "demo").iterdir())) == 1


def test_a_gallery_may_have_no_key_and_its_rows_no_title() -> None:
    row = PictureRow("", [Picture(b"png", alt="a")], columns=3)
    with_key, without = (render(Page("t", "s", [Section("x", [Gallery([row], has_key=key)])])) for key in (True, False))
    assert 'class="key"' in with_key and 'class="key"' not in without
    assert "<h3>" not in without and "--columns:3" in without
