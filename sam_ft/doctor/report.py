"""What the doctor says: lines for the console, and the same for programs as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sam_ft.doctor.advice import Setting
from sam_ft.doctor.cases import Meaning
from sam_ft.doctor.checks.values import value_table
from sam_ft.doctor.examination import Examination
from sam_ft.doctor.findings import Finding, Severity, counted

_SHOWN = 3
_MOST_FOUND = 1000
"""Places of a finding that the JSON file lists."""


def summary_lines(examination: Examination, settings: Sequence[Setting]) -> Iterator[str]:
    """What the data set is, what is wrong with it, what to set."""
    yield described(examination)
    for finding in examination.findings:
        yield ""
        yield from _finding_lines(finding)
    yield ""
    yield verdict(examination.findings)
    if settings:
        yield ""
        yield "Settings that suit it:"
        width = max(len(setting.override) for setting in settings)
        yield from (f"  {setting.override:<{width}}  {setting.reason}" for setting in settings)


def described(examination: Examination) -> str:
    """How many cases there are in which part, and how many were looked at."""
    inventory = examination.inventory
    noun = "volume" if inventory.is_volumes else "image"
    parts = Counter(case.part for case in inventory.cases)
    listed = ", ".join(f"{parts[part]:,} {part}" for part in ("train", "val", "test") if part in parts)
    total = counted(len(inventory.cases), noun)
    looked = "" if len(examination.seen) == len(inventory.cases) else f"; {len(examination.seen):,} were looked at"
    return f"{total}{f' ({listed})' if listed else ''}{looked}"


def verdict(findings: Sequence[Finding]) -> str:
    """How many errors, warnings and notes there are."""
    times = Counter(finding.severity for finding in findings)
    if not times[Severity.ERROR] and not times[Severity.WARNING]:
        return f"Nothing is wrong, as far as can be seen; {counted(times[Severity.NOTE], 'note')}."
    return f"{', '.join(counted(times[severity], severity.word) for severity in Severity)}."


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity.word.upper()} {finding.code}: {finding.text}"
    yield from (f"    {found}" for found in finding.found[:_SHOWN])
    if len(finding.found) > _SHOWN:
        yield f"    ... and {len(finding.found) - _SHOWN:,} more"
    if finding.advice:
        yield f"  > {finding.advice}"


def as_json(examination: Examination, settings: Sequence[Setting], *, about: dict[str, Any]) -> dict[str, Any]:
    """Everything for programs; of each finding 1000 places at most, and their number."""
    inventory = examination.inventory
    sizes = examination.sizes
    table = value_table(examination.seen) if inventory.is_volumes or inventory.meaning == Meaning.CLASSES else []
    return {
        **about,
        "num_cases": len(inventory.cases),
        "num_looked_at": len(examination.seen),
        "parts": {str(part): count for part, count in Counter(case.part for case in inventory.cases).items()},
        "findings": [_finding_json(finding) for finding in examination.findings],
        "settings": {setting.key: setting.value for setting in settings},
        "objects": {
            "count": len(sizes.areas),
            "area_px": _quantiles(sizes.areas),
            "side_share": _quantiles(sizes.sides),
            "per_image": _quantiles(sizes.per_image),
        },
        "values": [{"value": use.value, "labels": use.num_labels, "pixels": use.num_pixels} for use in table],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity.word,
        "text": finding.text,
        "advice": finding.advice,
        "count": len(finding.found),
        "found": [{"where": found.where, "detail": found.detail} for found in finding.found[:_MOST_FOUND]],
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    names = {"least": 0.0, "tenth": 0.1, "median": 0.5, "nine_tenths": 0.9, "most": 1.0}
    return {name: float(np.quantile(values, quantile)) for name, quantile in names.items()}
