"""Tables as Markdown and as LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sam_ft.files import atomic_write
from sam_ft.pages.page import Table

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "\N{MINUS SIGN}": "$-$",
        "\N{SUPERSCRIPT TWO}": "$^2$",
    }
)


def write_tables(folder: str | Path, name: str, tables: Sequence[Table]) -> tuple[str, str]:
    """Write `NAME.md` and `NAME.tex` with all tables, each at once; the names of the files.

    Raises:
        ValueError: `folder` cannot be written to.
    """
    written = (f"{name}.md", f"{name}.tex")
    for file, render in zip(written, (markdown, latex), strict=True):
        with atomic_write(Path(folder) / file) as temporary:
            temporary.write_text("\n".join(map(render, tables)), encoding="utf-8")
    return written


def markdown(table: Table) -> str:
    """A table as GitHub and others read it, its caption as a line above."""
    rows = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)], *table.rows]
    lines = ["| " + " | ".join(_one_line(cell).replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join([*([table.caption, ""] if table.caption else []), *lines, ""])


def latex(table: Table) -> str:
    """A table for LaTeX with the package booktabs; the caption is a comment above."""
    head, *rows = (" & ".join(map(_latex_cell, row)) + r" \\" for row in (table.columns, *table.rows))
    lines = [
        *([f"% {_one_line(table.caption)}"] if table.caption else []),
        r"\begin{tabular}{l" + "r" * (len(table.columns) - 1) + "}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        "",
    ]
    return "\n".join(lines)


def signed(difference: float) -> str:
    """A difference with its sign and three places: `+0.125`, `−0.125`; `0.000` has none."""
    text = f"{abs(difference):.3f}"
    if float(text) == 0:
        return text
    return ("+" if difference > 0 else "\N{MINUS SIGN}") + text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _latex_cell(text: str) -> str:
    escaped = _one_line(text).translate(_LATEX)
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped  # after a line break it would be an argument
