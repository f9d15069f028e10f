"""The page of a comparison of two models."""

from __future__ import annotations

from sam_ft.charts.differences import Difference
from sam_ft.evaluation.comparing.changes_shown import INTERVALS, changes_picture
from sam_ft.evaluation.comparing.pairs import ModelComparison
from sam_ft.evaluation.records.intervals import intervals
from sam_ft.evaluation.records.summaries import miou_keys, summarise
from sam_ft.evaluation.showing.page import PROTOCOL, curves
from sam_ft.pages.page import Block, Card, Code, Facts, Page, Section, Text
from sam_ft.pages.tables import signed
from sam_ft.pages.versions import versions

GROUPS = {"all": "all objects"}
"""How a chart calls all objects."""


def comparing_page(comparison: ModelComparison, *, command: str) -> Page:
    """Headline differences, tables, curves and a chart of all differences."""
    paired = comparison.paired
    first, second = paired.names
    sides = {first: paired.first, second: paired.second}
    summaries = {name: summarise(records) for name, records in sides.items()}
    by_prompt, *others = comparison.tables()
    results: list[Block] = [by_prompt]
    if any(key == "miou@box" or key[5:].isdigit() for key in miou_keys(summaries[first])):
        results.append(curves(summaries, {name: intervals(records) for name, records in sides.items()}))
    if paired.left_out:
        results.append(Text(f"Left out, since only one of the two has them: {', '.join(paired.left_out)}."))
    return Page(
        title=f"{second} against {first}",
        subtitle=f"{summaries[first]['num_images']:,.0f} images, {summaries[first]['num_masks']:,.0f} masks",
        cards=[
            Card(row.prompt, signed(row.difference), f"{row.before:.3f} → {row.after:.3f}, {row.verdict}")
            for row in comparison.by_prompt
        ],
        sections=[
            Section("Results", results, lead=INTERVALS),
            Section("By prompt, size and class" if others else "By prompt", [_chart(comparison), *others]),
            Section("How it was made", [Text(PROTOCOL), Code(command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


def _chart(comparison: ModelComparison) -> Block:
    """All but the classes, of which there may be many."""
    rows = [
        Difference(row.prompt, row.difference, row.low, row.high, group=GROUPS.get(row.objects, row.objects))
        for row in (*comparison.by_prompt, *comparison.by_size)
    ]
    return changes_picture(rows, alt="Differences by prompt and size")
