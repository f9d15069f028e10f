"""A table of images and label maps: `data=manifest`."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any, get_args

from sam_ft.data.folders import expanded
from sam_ft.data.manifest import ManifestColumns
from sam_ft.data.splits import Part
from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.inventory.files import repeated
from sam_ft.doctor.inventory.parts import assigned


def listed_rows(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `manifest_splits`.

    Raises:
        ValueError: The table cannot be read, or lacks a column.
    """
    path, columns = expanded(arguments["path"]), arguments["columns"]
    rows = _rows(path, columns)
    findings: list[Finding] = []
    cases, missing, unknown = [], [], []
    for line, row in rows:
        image, mask = row.get(columns.image) or "", row.get(columns.mask) or ""
        files = [path.parent / expanded(name) for name in (image, mask)]
        absent = [str(file) for name, file in zip((image, mask), files, strict=True) if not name or not file.is_file()]
        if absent:
            missing.append(Found(f"{path}, line {line}", ", ".join(absent)))
            continue
        said = row.get(columns.split)
        if said is not None and said not in get_args(Part):
            unknown.append(Found(f"{path}, line {line}", repr(said)))
        part: Part | None = said if said in get_args(Part) else None  # type: ignore[assignment]
        group = row.get(columns.group) or image
        cases.append(Case(name=image, part=part, group=group, image=files[0], label=files[1]))
    if missing:
        text = f"{counted(len(missing), 'row names a file', 'rows name a file')} that is not there."
        findings.append(
            Finding(
                "missing_file", Severity.ERROR, text, "Correct the paths; they start from the table.", tuple(missing)
            )
        )
    if unknown:
        text = f"{counted(len(unknown), 'row', 'rows')} of an unknown part."
        findings.append(
            Finding("unknown_part", Severity.ERROR, text, "Write train, val or test there.", tuple(unknown))
        )
    if twice := repeated(str(case.image) for case in cases):
        text = f"{counted(len(twice), 'image')} there more than once."
        found = tuple(Found(name) for name in twice)
        findings.append(Finding("listed_twice", Severity.ERROR, text, "Keep one row of each.", found))
    by_rule = bool(rows) and columns.split not in rows[0][1]
    if by_rule:
        parts, refused = assigned([case.group for case in cases], arguments["split"])
        findings += refused
        cases = [_with_part(case, parts.get(case.group)) for case in cases]
    findings += _groups_in_two_parts(cases)
    return Inventory(
        cases=cases,
        findings=findings,
        smallest_px=arguments["min_area_px"],
        is_stretched=arguments["stretch"],
        split_by_rule=by_rule,
    )


def _rows(path: Path, columns: ManifestColumns) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or [])
            rows = [
                (reader.line_num, {key: (text or "").strip() for key, text in row.items() if key}) for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ValueError(f"Expected a table (CSV) in {path}, but it cannot be read: {err}.") from err
    if missing := [name for name in (columns.image, columns.mask) if name not in header]:
        raise ValueError(f"Expected the columns {', '.join(missing)} in {path}, but it has {', '.join(header)}.")
    return rows


def _with_part(case: Case, part: Part | None) -> Case:
    return Case(name=case.name, part=part, group=case.group, image=case.image, label=case.label)


def _groups_in_two_parts(cases: list[Case]) -> list[Finding]:
    parts: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        if case.part is not None:
            parts[case.group].add(case.part)
    found = tuple(Found(group, " and ".join(sorted(where))) for group, where in parts.items() if len(where) > 1)
    if not found:
        return []
    text = f"{counted(len(found), 'group is', 'groups are')} in more than one part."
    advice = "Put every group (patient, slide, film) into one part: what is measured is too good otherwise."
    return [Finding("group_leak", Severity.ERROR, text, advice, found)]
