from __future__ import annotations

from pathlib import Path

from sam_ft.pages.page import Table
from sam_ft.pages.tables import latex, markdown, write_tables

TABLE = Table(
    columns=["prompt", "mIoU"],
    rows=[["1 click", "0.708 [0.690, 0.725]"], ["a_b & 50 %|{x}\\", "\N{MINUS SIGN}0.1"], ["[32²\npx]", "<1>"]],
    caption="100 % of #1",
)


def test_markdown_keeps_every_cell_in_its_column() -> None:
    assert markdown(TABLE).splitlines() == [
        "100 % of #1",
        "",
        "| prompt | mIoU |",
        "| --- | ---: |",
        "| 1 click | 0.708 [0.690, 0.725] |",
        r"| a_b & 50 %\|{x}\ | −0.1 |",
        "| [32² px] | <1> |",
    ]


def test_latex_has_rules_and_escapes_what_means_something() -> None:
    assert latex(TABLE).splitlines() == [
        "% 100 % of #1",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"prompt & mIoU \\",
        r"\midrule",
        r"1 click & 0.708 [0.690, 0.725] \\",
        r"a\_b \& 50 \%|\{x\}\textbackslash{} & $-$0.1 \\",
        r"{}[32$^2$ px] & \textless{}1\textgreater{} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_all_tables_are_written_in_both_languages(tmp_path: Path) -> None:
    assert write_tables(tmp_path / "new", "summary", [TABLE, TABLE]) == ("summary.md", "summary.tex")
    assert (tmp_path / "new" / "summary.md").read_text() == f"{markdown(TABLE)}\n{markdown(TABLE)}"
    assert (tmp_path / "new" / "summary.tex").read_text().count(r"\begin{tabular}") == 2
