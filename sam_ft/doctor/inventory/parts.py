"""Which part a group of cases belongs to, where a rule says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sam_ft.data.splits import Part
from sam_ft.doctor.findings import Finding, Severity


class Split(Protocol):
    """A rule that assigns whole groups."""

    def assign(self, groups: Sequence[str]) -> dict[str, Part]:
        """Group -> its part."""
        ...


def assigned(groups: Sequence[str], split: Split) -> tuple[Mapping[str, Part], list[Finding]]:
    """Group -> its part; a rule that cannot be followed is a finding, and no group has a part then."""
    try:
        return split.assign(groups), []
    except ValueError as err:
        advice = "Change data.split, or bring more files."
        return {}, [Finding("split_refused", Severity.ERROR, " ".join(str(err).split()), advice)]
