"""Two evaluations of the same masks, paired mask by mask and prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sam_ft.evaluation.comparing.changes import Change, changes_by_class, changes_by_prompt, changes_by_size
from sam_ft.evaluation.comparing.changes_shown import changes_table
from sam_ft.evaluation.records.mask_record import (
    MaskRecord,
    answer_key,
    of_summary,
    prompt_key,
    prompt_order,
    prompt_words,
)
from sam_ft.evaluation.records.summaries import summarise
from sam_ft.files import write_json
from sam_ft.pages.page import Table
from sam_ft.pages.tables import write_tables


@dataclass(frozen=True)
class PairedEvaluations:
    """What two models answered, the records of one in the order of the other's.

    Attributes:
        names: Of the two models.
        first: Records of the first.
        second: Records of the second, of the same masks and prompts.
        left_out: Prompts, in words, that only one of the two was asked with.
    """

    names: tuple[str, str]
    first: Sequence[MaskRecord] = field(repr=False)
    second: Sequence[MaskRecord] = field(repr=False)
    left_out: Sequence[str] = ()

    @property
    def num_other_clicks(self) -> int:
        """How many pairs of answers are to different clicks."""
        pairs = zip(self.first, self.second, strict=True)
        return sum((one.points, one.labels) != (other.points, other.labels) for one, other in pairs)

    @property
    def about_clicks(self) -> str:
        """Whether both were asked with the same clicks, in a sentence."""
        total = sum(record.num_clicks > 0 for record in self.first)
        if not self.num_other_clicks:
            return "Both models were asked with exactly the same clicks." if total else "No clicks were asked with."
        return (
            f"The clicks differ in {self.num_other_clicks:,} of {total:,} answers, since each model was corrected "
            "where it was wrong; protocol.clicks_from=... asks one with the clicks of the other."
        )


@dataclass(frozen=True)
class ModelComparison:
    """The mean differences, second minus first, with their intervals."""

    paired: PairedEvaluations
    by_prompt: Sequence[Change]
    by_size: Sequence[Change]
    by_class: Sequence[Change]

    def tables(self) -> list[Table]:
        """By prompt, and by size and class where objects are of several."""
        summary = summarise(self.paired.first)
        counts = f"{summary['num_masks']:,.0f} masks of {summary['num_images']:,.0f} images."
        texts = {f"{counts} {self.paired.about_clicks}": self.by_prompt, "By size.": self.by_size}
        texts["By class."] = self.by_class
        return [changes_table(rows, caption=text, names=self.paired.names) for text, rows in texts.items() if rows]

    def write(self, output: str | Path) -> None:
        """Write `compare.json`, `compare.md` and `compare.tex`.

        Raises:
            ValueError: `output` cannot be written to.
        """
        rows = {"by_prompt": self.by_prompt, "by_size": self.by_size, "by_class": self.by_class}
        content: dict[str, object] = {
            "first": self.paired.names[0],
            "second": self.paired.names[1],
            "num_other_clicks": self.paired.num_other_clicks,
            "left_out": list(self.paired.left_out),
        }
        content |= {
            name: [{**asdict(each), "verdict": each.verdict} for each in changes] for name, changes in rows.items()
        }
        write_json(Path(output) / "compare.json", content)
        write_tables(output, "compare", self.tables())


def compare(paired: PairedEvaluations) -> ModelComparison:
    """How the second differs from the first: in all, by size and by class."""
    return ModelComparison(
        paired=paired,
        by_prompt=changes_by_prompt(paired.first, paired.second),
        by_size=changes_by_size(paired.first, paired.second),
        by_class=changes_by_class(paired.first, paired.second),
    )


def pair(first: Sequence[MaskRecord], second: Sequence[MaskRecord], *, names: tuple[str, str]) -> PairedEvaluations:
    """Bring two evaluations of the same masks into one order.

    Args:
        first: records of one model.
        second: records of the other, of the same masks in any order; prompts that only one has are left out.
        names: of the two models.

    Raises:
        ValueError: The masks are not the same ones, were never asked for in the same way, or were clicked first by
            other rules.
    """
    first, second = of_summary(first), of_summary(second)
    _expect_same_masks(first, second, names)
    asked = [{prompt_order(record): prompt_words(prompt_key(record)) for record in each} for each in (first, second)]
    shared = asked[0].keys() & asked[1].keys()
    if not shared:
        ways = [", ".join(each[place] for place in sorted(each)) for each in asked]
        raise ValueError(f"Expected a prompt that both were asked with, but got {ways[0]} and {ways[1]}.")
    partner = {answer_key(record): record for record in second}
    chosen = [record for record in first if prompt_order(record) in shared]
    if missing := [record for record in chosen if answer_key(record) not in partner]:
        raise ValueError(
            f"Expected answers to the same prompts for every mask, but {names[1]} has none with "
            f"{prompt_words(prompt_key(missing[0]))} for object {missing[0].object_index} of {missing[0].image}."
        )
    either = asked[0] | asked[1]
    partners = [partner[answer_key(record)] for record in chosen]
    _expect_same_first_clicks(chosen, partners, names)
    return PairedEvaluations(
        names=names,
        first=chosen,
        second=partners,
        left_out=[either[place] for place in sorted(either.keys() - shared)],
    )


def _expect_same_masks(first: Sequence[MaskRecord], second: Sequence[MaskRecord], names: tuple[str, str]) -> None:
    """Refuse masks that only one has, and masks of one name that have another area or class."""
    masks = [
        {(record.image, record.object_index): (record.area_px, record.class_name) for record in each}
        for each in (first, second)
    ]
    for name, own, other in ((names[0], masks[0], masks[1]), (names[1], masks[1], masks[0])):
        if alone := sorted(own.keys() - other.keys()):
            raise ValueError(
                f"Expected two evaluations of the same masks, but {name} alone has {len(alone):,} of them, "
                f"such as object {alone[0][1]} of {alone[0][0]}."
            )
    if changed := sorted(key for key, value in masks[0].items() if masks[1][key] != value):
        (image, index), (areas, classes) = changed[0], zip(*(each[changed[0]] for each in masks), strict=True)
        raise ValueError(
            f"Expected two evaluations of the same masks, but object {index} of {image} has {areas[0]} pixels of "
            f"{classes[0]} in {names[0]} and {areas[1]} pixels of {classes[1]} in {names[1]}."
        )


def _expect_same_first_clicks(
    first: Sequence[MaskRecord], second: Sequence[MaskRecord], names: tuple[str, str]
) -> None:
    """Refuse first clicks at other places: no answer has moved them, so another rule or another seed has."""
    clicked = [pair for pair in zip(first, second, strict=True) if pair[0].prompt == "click"]
    moved = {
        (one.image, one.object_index): (one.points[:1], other.points[:1])
        for one, other in clicked
        if one.points[:1] != other.points[:1]
    }
    if moved:
        (image, index), places = next(iter(moved.items()))
        raise ValueError(
            f"Expected first clicks placed by one rule, but they differ for {len(moved):,} masks: object {index} of "
            f"{image} was clicked at {_place(places[0])} in {names[0]} and at {_place(places[1])} in {names[1]}. "
            "Measure one again with the protocol.first_click and protocol.seed of the other, which its summary.json "
            "has, or with protocol.clicks_from=..."
        )


def _place(points: Sequence[tuple[float, float]]) -> str:
    return f"({points[0][0]:g}, {points[0][1]:g})" if points else "no place"
