"""Pictures of what a finding is about."""

from __future__ import annotations

import numpy as np

from sam_ft.data.image_files import read_image
from sam_ft.doctor.cases import Case
from sam_ft.doctor.examination import Examination
from sam_ft.doctor.findings import Finding
from sam_ft.doctor.looking import look_at
from sam_ft.doctor.seen import View


def evidence(finding: Finding, examination: Examination, *, most: int) -> list[View]:
    """Pictures of the first places of a finding, read again; of volumes none, which take long to read."""
    if examination.inventory.is_volumes:
        return []
    cases: dict[str, Case] = {}
    for seen in examination.seen:
        for path in (seen.case.image, seen.case.label):
            if path is not None:
                cases[str(path)] = seen.case
    views = (_view(cases[found.where], examination) for found in finding.found[: 2 * most] if found.where in cases)
    shown: list[View] = []
    for view in views:
        if view is not None:
            shown.append(view)
        if len(shown) == most:
            break
    return shown


def _view(case: Case, examination: Examination) -> View | None:
    """A case with its outlines; the image alone where no label can be drawn on it; None where that is unreadable."""
    if views := look_at(case, examination.inventory).views:
        return views[0]
    if case.image is None:
        return None
    try:
        image = read_image(case.image, examination.inventory.pixels)
    except ValueError:
        return None  # the finding says so
    return View(case.name, image, np.zeros(image.shape[:2], dtype=np.int64))
