"""What may be said of a data set: findings, how bad they are, and which files they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad a finding is; the worst comes first."""

    ERROR = 0
    """A training is refused, or learns something wrong."""
    WARNING = 1
    """A training runs, but probably not as is meant."""
    NOTE = 2
    """Good to know."""

    @property
    def word(self) -> str:
        """As people write it."""
        return self.name.lower()


@dataclass(frozen=True)
class Found:
    """One place of a finding: a file, or several that belong together, and what is the matter with it."""

    where: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}" if self.detail else self.where


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is to be said of a data set, with every place of it.

    Attributes:
        code: a short name that never changes, such as `colour_label`.
        severity: how bad it is.
        text: what is the matter, in a sentence.
        advice: what to do, in a sentence; empty where nothing is to be done.
        found: the places.
    """

    code: str
    severity: Severity
    text: str
    advice: str = ""
    found: tuple[Found, ...] = ()


def refusal(err: ValueError) -> Finding:
    """That a reader refuses the whole data set, in its words."""
    return Finding("refused", Severity.ERROR, " ".join(str(err).split()), "A training would say the same.")


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Errors, then warnings, then notes, each in the order given."""
    return sorted(findings, key=lambda finding: finding.severity)


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
