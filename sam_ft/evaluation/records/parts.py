"""The figures of each class, or of each set of a mixture, and their means over these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sam_ft.evaluation.records.intervals import intervals, intervals_of_means
from sam_ft.evaluation.records.mask_record import MaskRecord
from sam_ft.evaluation.records.number_of_clicks import clicks_needed, failures
from sam_ft.evaluation.records.summaries import mean_over, summarise
from sam_ft.metrics.bootstrap import Interval, ends_of


@dataclass(frozen=True)
class Parts:
    """The records of an evaluation by class or by set.

    Attributes:
        records: From the name of each part to its records, one at least.
        drawn_apart: Whether the bootstrap draws the images of each part by themselves, see `intervals_of_means`.
    """

    records: Mapping[str, Sequence[MaskRecord]] = field(repr=False)
    drawn_apart: bool = False

    @cached_property
    def summaries(self) -> dict[str, dict[str, float]]:
        """`whole_summary` of each part."""
        return {name: whole_summary(records) for name, records in self.records.items()}

    @cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """The 95 % intervals of each part; empty for parts of a few images."""
        return {name: intervals(records) for name, records in self.records.items()}

    @cached_property
    def mean(self) -> dict[str, float]:
        """`mean_over` the parts; empty if there are none."""
        return mean_over(self.summaries) if self.summaries else {}

    @cached_property
    def mean_intervals(self) -> dict[str, Interval]:
        """The 95 % intervals of these means."""
        return intervals_of_means(self.records, self.mean, drawn_apart=self.drawn_apart)

    def as_json(self, name: str) -> dict[str, object]:
        """What a `summary.json` says of them under the given name, such as `classes`; empty if there are none."""
        if not self.records:
            return {}
        each = {part: {**own, "intervals": ends_of(self.intervals[part])} for part, own in self.summaries.items()}
        return {name: each, f"mean_over_{name}": {**self.mean, "intervals": ends_of(self.mean_intervals)}}


def by_class(records: Sequence[MaskRecord]) -> Parts:
    """The classes in the order of their names."""
    parts: dict[str, list[MaskRecord]] = {name: [] for name in sorted({record.class_name for record in records})}
    for record in records:
        parts[record.class_name].append(record)
    return Parts(parts)


def by_set(records: Sequence[MaskRecord]) -> Parts:
    """The sets of a mixture in the order of the records; none where the records are of none."""
    parts: dict[str, list[MaskRecord]] = {}
    for record in records:
        if record.set_name is not None:
            parts.setdefault(record.set_name, []).append(record)
    return Parts(parts, drawn_apart=True)


def whole_summary(records: Sequence[MaskRecord]) -> dict[str, float]:
    """`summarise` with NoC and its failures before the counts.

    Raises:
        ValueError: there are no records.
    """
    summary = summarise(records)
    counts = {key: summary.pop(key) for key in ("num_masks", "num_images")}
    needed = {key: figure.mean for key, figure in clicks_needed(records).items()}
    return {**summary, **needed, **failures(records), **counts}
