"""The page of one examination: findings, suggestions, histograms and examples with their outlines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sam_ft.charts.histogram import histogram_figure
from sam_ft.doctor.advice import Setting
from sam_ft.doctor.cases import Meaning
from sam_ft.doctor.checks.values import value_table
from sam_ft.doctor.evidence import evidence
from sam_ft.doctor.examination import Examination
from sam_ft.doctor.experiment import experiment_command
from sam_ft.doctor.findings import Finding, Severity, counted
from sam_ft.doctor.report import described, verdict
from sam_ft.doctor.seen import View
from sam_ft.doctor.sizing import SMALL_PX
from sam_ft.pages.page import Block, Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section, Table, Text
from sam_ft.pages.versions import versions
from sam_ft.pictures import outlined, to_png

_LISTED = 200
"""Places of a finding that the page lists."""
_MOST_VALUES = 30
_PER_ROW = 3
_TITLE = 24
_LEADS = {
    Severity.ERROR: "A training is refused, or learns something wrong.",
    Severity.WARNING: "A training runs, but probably not as is meant.",
    Severity.NOTE: "Good to know.",
}
_HEADINGS = {Severity.ERROR: "Errors", Severity.WARNING: "Warnings", Severity.NOTE: "Notes"}


def doctor_page(
    examination: Examination,
    settings: Sequence[Setting],
    *,
    title: str,
    image_size: int,
    cost: Sequence[tuple[str, str]],
    command: str,
    folder: Path,
) -> Page:
    """The page.

    Args:
        examination: what was seen and found.
        settings: what is suggested.
        title: the heading.
        image_size: side of the model's frame after the suggestions.
        cost: names and values about the memory and the time of a training.
        command: what made the page.
        folder: where it and `experiment.yaml` lie.
    """
    return Page(
        title=title,
        subtitle=f"{described(examination)}. {verdict(examination.findings)}",
        cards=_cards(examination, image_size),
        sections=[
            *_finding_sections(examination),
            Section("What to set", [_settings(settings), *_cost(cost), Code(experiment_command(folder))], lead=SUITED),
            *_sizes(examination, image_size),
            *_values(examination),
            *_brightness(examination),
            *_examples(examination.examples),
            Section("How it was made", [Code(command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


SUITED = "What suits the data, as experiment.yaml has it. The command trains with it as it is."


def _cards(examination: Examination, image_size: int) -> list[Card]:
    times = {severity: sum(f.severity == severity for f in examination.findings) for severity in Severity}
    cards = [Card(_HEADINGS[severity].lower(), str(times[severity])) for severity in Severity]
    sizes = examination.sizes
    if len(sizes.areas):
        side = f"{sizes.median_side * image_size:.0f} px"
        cards.append(Card("objects seen", f"{len(sizes.areas):,}", f"median side {side} at {image_size} px"))
    return cards


def _finding_sections(examination: Examination) -> Iterator[Section]:
    for severity in Severity:
        blocks: list[Block] = []
        for finding in examination.findings:
            if finding.severity == severity:
                blocks += _finding_blocks(finding, examination)
        if blocks:
            yield Section(_HEADINGS[severity], blocks, lead=_LEADS[severity])


def _finding_blocks(finding: Finding, examination: Examination) -> Iterator[Block]:
    items = [(finding.code, finding.text)]
    yield Facts([*items, ("what to do", finding.advice)] if finding.advice else items)
    if finding.found:
        lines = [str(found) for found in finding.found[:_LISTED]]
        more = len(finding.found) - len(lines)
        text = "\n".join([*lines, *([f"... and {more:,} more"] if more else [])])
        yield Code(text) if len(lines) <= _PER_ROW else Code(text, summary=f"All {len(finding.found):,} places")
    if shown := evidence(finding, examination, most=_PER_ROW):
        yield _rows_of(shown)


def _settings(settings: Sequence[Setting]) -> Block:
    if not settings:
        return Text("Nothing beside what was given.")
    width = max(len(setting.override) for setting in settings)
    return Code("\n".join(f"{setting.override:<{width}}  # {setting.reason}" for setting in settings))


def _cost(cost: Sequence[tuple[str, str]]) -> list[Block]:
    return [Facts(list(cost))] if cost else []


def _sizes(examination: Examination, image_size: int) -> Iterator[Section]:
    sizes = examination.sizes
    if not len(sizes.areas) or examination.inventory.meaning == Meaning.CLASSES:
        return
    sides = sizes.sides * image_size
    edges = np.geomspace(max(sides.min() * 0.9, 0.5), max(sides.max() * 1.1, 1.0), 31)
    counts, _ = np.histogram(sides, edges)
    title = f"Side of the objects in a frame of {image_size} pixels"
    blocks: list[Block] = [
        _chart(lambda dark: histogram_figure(edges.tolist(), counts.tolist(), title=title,
               xlabel="root of the area, in pixels; the line: small", mark=SMALL_PX, dark=dark), title)
    ]  # fmt: skip
    most = int(sizes.per_image.max(initial=1))
    steps = np.linspace(0, most + 1, min(most + 1, 30) + 1)
    number, _ = np.histogram(sizes.per_image, steps)
    noun = "volume (in the slices looked at)" if examination.inventory.is_volumes else "image"
    blocks.append(
        _chart(lambda dark: histogram_figure(steps.tolist(), number.tolist(), title=f"Objects of each {noun}",
               xlabel="objects", dark=dark), f"Objects of each {noun}")
    )  # fmt: skip
    lead = "Below the line an object's mask is a few pixels of the decoder's."
    yield Section("Objects", blocks, lead=lead)


def _values(examination: Examination) -> Iterator[Section]:
    inventory = examination.inventory
    if not inventory.is_volumes and inventory.meaning != Meaning.CLASSES:
        return
    table = value_table(examination.seen)
    total = sum(use.num_pixels for use in table)
    largest = sorted(table, key=lambda use: -use.num_pixels)[:_MOST_VALUES]
    names = _names(examination)
    rows = [
        [
            f"{use.value} {names.get(use.value, '')}".strip(),
            f"{use.num_labels:,}",
            f"{use.num_pixels:,}",
            f"{use.num_pixels / total:.1%}",
        ]
        for use in sorted(largest, key=lambda use: use.value)
    ]
    caption = "" if len(table) <= _MOST_VALUES else f"The {_MOST_VALUES} largest of {len(table)} values."
    unit = "voxels" if inventory.is_volumes else "pixels"
    block = Table(columns=["value", "labels", unit, "share"], rows=rows, caption=caption)
    yield Section("Label values", [block], lead="0, the background, is left out.")


def _names(examination: Examination) -> dict[int, str]:
    """Value -> the class that has it."""
    inventory = examination.inventory
    classes = inventory.rule.classes if inventory.values is None else inventory.values.classes
    return {
        value: name
        for name, values in (classes or {}).items()
        for value in (values if isinstance(values, Sequence) else (values,))
    }


def _brightness(examination: Examination) -> Iterator[Section]:
    counts = examination.brightness.reshape(64, 4).sum(axis=1)
    if counts.any():
        shares = (100 * counts / counts.sum()).tolist()
        edges = np.linspace(0, 256, 65).tolist()
        title = "Brightness of all pixels, in percent"
        chart = _chart(
            lambda dark: histogram_figure(edges, shares, title=title, xlabel="0 black, 255 white", dark=dark), title
        )
        yield Section("Brightness", [chart], lead="As the model sees it, after scaling and stretching.")


def _examples(examples: Sequence[View]) -> Iterator[Section]:
    if examples:
        lead = "Spread evenly over what was looked at. Outlines are the labels."
        yield Section("Examples", [_rows_of(examples)], lead=lead)


def _rows_of(views: Sequence[View]) -> Gallery:
    """Rows of three pictures."""
    pictures = [_outlined(view) for view in views]
    starts = range(0, len(pictures), _PER_ROW)
    rows = [PictureRow("", pictures[start : start + _PER_ROW], columns=_PER_ROW) for start in starts]
    return Gallery(rows, has_key=False)


def _outlined(view: View) -> Picture:
    count = len(np.unique(view.labels[view.labels > 0]))
    title = view.title if len(view.title) <= _TITLE else f"{view.title[: _TITLE // 2]}…{view.title[-_TITLE // 2 :]}"
    picture = outlined(view.image, view.labels)
    return Picture(
        picture,
        alt=f"Outlines on {view.title}",
        caption=title,
        value=counted(count, "object") if count else "no outlines",
    )


def _chart(draw: Callable[[bool], Figure], alt: str) -> Picture:
    return Picture(to_png(draw(False)), alt=alt, png_dark=to_png(draw(True)))
