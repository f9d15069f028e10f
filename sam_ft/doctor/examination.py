"""The whole examination: list, look at each case, check what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sam_ft.doctor.alignment import Alignment
from sam_ft.doctor.cases import Inventory, drawn
from sam_ft.doctor.checks.brightness import check_brightness
from sam_ft.doctor.checks.files import check_files
from sam_ft.doctor.checks.grids import check_grids
from sam_ft.doctor.checks.objects import check_objects
from sam_ft.doctor.checks.parts import check_parts
from sam_ft.doctor.checks.places import check_places
from sam_ft.doctor.checks.sizes import check_sizes
from sam_ft.doctor.checks.twins import check_twins
from sam_ft.doctor.checks.values import check_values
from sam_ft.doctor.findings import Finding, worst_first
from sam_ft.doctor.looking import look_at, without_views
from sam_ft.doctor.seen import Seen, View
from sam_ft.doctor.sizing import ObjectSizes, object_sizes


@dataclass(frozen=True)
class Plan:
    """How a data set is looked at.

    Attributes:
        limit: most cases that are looked at; more are drawn by the seed.
        seed: of the draw.
        group: a regular expression on paths, see `check_parts`; None: names are compared.
        pictures: examples that are kept for the page.
        image_size: side of the model's frame.
        has_windows: whether training sees parts of the images.
    """

    limit: int = 1000
    seed: int = 0
    group: str | None = None
    pictures: int = 6
    image_size: int = 512
    has_windows: bool = False


@dataclass(frozen=True)
class Examination:
    """What was seen and found; of the pictures only examples are kept."""

    inventory: Inventory
    seen: tuple[Seen, ...]
    findings: tuple[Finding, ...]
    examples: tuple[View, ...]
    brightness: np.ndarray  # (256,) pixels of each brightness in all pictures, as a model sees them

    @property
    def sizes(self) -> ObjectSizes:
        """Of all objects that are not left out for being small."""
        return object_sizes(self.seen, smallest_px=self.inventory.least_area_px)


def examine(inventory: Inventory, plan: Plan, *, on_case: Callable[[], object] = lambda: None) -> Examination:
    """Look at the cases of an inventory, one at a time, and check what was seen.

    Memory is that of one case, plus about 6 kB and 8 bytes an object for each that was seen, plus the examples.

    Args:
        inventory: what the data set holds.
        plan: how much is looked at.
        on_case: called after each case, for showing progress.

    Raises:
        ValueError: `plan.group` makes no sense.
    """
    cases = drawn(inventory.cases, limit=plan.limit, seed=plan.seed)
    early = [*inventory.findings, *check_parts(inventory, group=plan.group)]
    alignment, brightness = Alignment(), np.zeros(256, dtype=np.int64)
    seen: list[Seen] = []
    examples: list[View] = []
    shown = _spread(plan.pictures, len(cases))
    for number, case in enumerate(cases):
        each = look_at(case, inventory)
        for view in each.views:
            alignment.add(view, case=case.name)
            brightness += np.bincount(view.image.reshape(-1), minlength=256)
        if number in shown and each.views:
            examples.append(each.views[len(each.views) // 2])
        seen.append(without_views(each))
        on_case()
    findings = [*early, *_checked(seen, inventory, plan), *check_places(alignment)]
    return Examination(
        inventory,
        seen=tuple(seen),
        findings=tuple(worst_first(_once(findings))),
        examples=tuple(examples),
        brightness=brightness,
    )


def with_finding(examination: Examination, finding: Finding) -> Examination:
    """The same with one finding more."""
    return replace(examination, findings=tuple(worst_first([*examination.findings, finding])))


def _checked(seen: Sequence[Seen], inventory: Inventory, plan: Plan) -> list[Finding]:
    return [
        *check_files(seen),
        *check_brightness(seen, inventory),
        *check_sizes(seen),
        *check_grids(seen, inventory),
        *check_values(seen, inventory),
        *check_objects(seen, inventory, image_size=plan.image_size, has_windows=plan.has_windows),
        *check_twins(seen, inventory),
    ]


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """The first finding of each code: a group that a table has in two parts is found twice."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.code, finding)
    return list(first.values())


def _spread(count: int, length: int) -> set[int]:
    """Indices into something of a length, spread evenly."""
    count = min(count, length)
    return {(2 * turn + 1) * length // (2 * count) for turn in range(count)}
