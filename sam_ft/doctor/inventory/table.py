"""A table of images and label maps: `data=manifest`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from sam_ft.data.folders import expanded
from sam_ft.data.manifest import ManifestColumns, read_cells
from sam_ft.data.splits import Part
from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.inventory.look import pixel_rule
from sam_ft.doctor.inventory.parts import assigned

Row = dict[str, str]


def listed_rows(arguments: dict[str, Any]) -> Inventory:
    """Of the arguments of `manifest_splits`.

    Raises:
        ValueError: The table cannot be read, or lacks a column.
    """
    path, columns = expanded(arguments["path"]), arguments["columns"]
    header, rows = read_cells(path, columns)
    listing = _Listing()
    for line, cells in rows:
        row = {name: (text or "").strip() for name, text in cells.items() if name}
        listing.take(row, f"{path}, line {line}", folder=path.parent, columns=columns)
    cases = list(listing.cases.values())
    refused: list[Finding] = []
    if columns.split not in header:
        parts, refused = assigned([case.group for case in cases], arguments["split"])
        cases = [replace(case, part=parts.get(case.group)) for case in cases]
    return Inventory(
        cases=cases,
        findings=[*listing.findings(), *refused],
        smallest_px=arguments["min_area_px"],
        pixels=pixel_rule(arguments),
    )


@dataclass
class _Listing:
    """The rows so far: those that are cases, and the places of those that are none."""

    cases: dict[Path, Case] = field(default_factory=dict)
    missing: list[Found] = field(default_factory=list)
    twice: list[Found] = field(default_factory=list)
    unknown: list[Found] = field(default_factory=list)

    def take(self, row: Row, where: str, *, folder: Path, columns: ManifestColumns) -> None:
        """One row more."""
        names = row.get(columns.image, ""), row.get(columns.mask, "")
        image, mask = (folder / expanded(name) for name in names)
        absent = [str(file) for name, file in zip(names, (image, mask), strict=True) if not name or not file.is_file()]
        if absent:
            self.missing.append(Found(where, ", ".join(absent)))
            return
        if image in self.cases:
            self.twice.append(Found(where, str(image)))
            return
        said = row.get(columns.split)
        part: Part | None = next((part for part in get_args(Part) if part == said), None)
        if part is None and said is not None:
            self.unknown.append(Found(where, repr(said)))
        group = row.get(columns.group) or names[0]
        self.cases[image] = Case(name=names[0], part=part, group=group, image=image, label=mask)

    def findings(self) -> Iterator[Finding]:
        """What is wrong with rows."""
        for code, found, text, advice in (
            (
                "missing_file",
                self.missing,
                "with a file that is not there.",
                "Correct the paths; they start from the table.",
            ),
            ("listed_twice", self.twice, "with an image that an earlier row has.", "Keep one row of each."),
            ("unknown_part", self.unknown, "of an unknown part.", "Write train, val or test there."),
        ):
            if found:
                yield Finding(code, Severity.ERROR, f"{counted(len(found), 'row')} {text}", advice, tuple(found))
