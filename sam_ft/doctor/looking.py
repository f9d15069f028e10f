"""A look at one case: its files are read once, and whatever is wrong with them becomes a problem, never an error."""

from __future__ import annotations

from dataclasses import replace

from sam_ft.doctor.cases import Case, Inventory
from sam_ft.doctor.findings import Found
from sam_ft.doctor.looking_at_files import look_at_files
from sam_ft.doctor.looking_at_samples import look_at_sample
from sam_ft.doctor.looking_at_volumes import look_at_volume
from sam_ft.doctor.seen import Problem, Seen


def look_at(case: Case, inventory: Inventory) -> Seen:
    """What is seen of a case, with its pictures; one case is in memory at a time.

    Where one is too large for the memory that there is, that is said of it too.
    """
    try:
        if case.sample is not None:
            return look_at_sample(case, case.sample, rule=inventory.pixels)
        if inventory.is_volumes:
            return look_at_volume(case, inventory)
        return look_at_files(case, inventory)
    except MemoryError:
        return Seen(case, problems=(Problem("too_large", Found(str(case.image or case.name))),))


def without_views(seen: Seen) -> Seen:
    """The same without its pictures, which take most of the memory."""
    return replace(seen, views=())
