"""Mean IoU by prompt as tables of a page."""

from __future__ import annotations

from collections.abc import Mapping

from sam_ft.evaluation.records.mask_record import prompt_words
from sam_ft.evaluation.records.summaries import CLICKS, miou_keys
from sam_ft.evaluation.showing.figures import with_interval
from sam_ft.metrics.bootstrap import Interval
from sam_ft.pages.page import Table
from sam_ft.pages.tables import signed


def miou_table(summaries: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per prompt, one column per summary; of exactly two summaries the difference as well.

    Args:
        summaries: from a name such as "before" to what `summarise` returns.
    """
    keys = list(dict.fromkeys(key for summary in summaries.values() for key in miou_keys(summary)))
    rows = []
    for key in keys:
        values = [summary.get(key) for summary in summaries.values()]
        cells = [figure_words(key), *("" if value is None else f"{value:.3f}" for value in values)]
        if len(values) == 2:
            before, after = values
            cells.append("" if before is None or after is None else signed(after - before))
        rows.append(cells)
    columns = ["prompt", *summaries, *(["difference"] if len(summaries) == 2 else [])]
    return Table(columns=columns, rows=rows, caption=measured_on(summaries))


def class_accuracy_table(summary: Mapping[str, float], intervals: Mapping[str, Interval] | None = None) -> Table:
    """One row per prompt: how often the model has told the class, from what `summarise` returns."""
    found = [key for key in summary if key.startswith("class_accuracy@")]
    rows = [[figure_words(key), with_interval(key, summary, intervals or {})] for key in found]
    return Table(columns=["prompt", "class accuracy"], rows=rows, caption="Share of the masks whose class is told.")


def class_table(
    by_class: Mapping[str, Mapping[str, float]],
    *,
    heading: str = "class",
    intervals: Mapping[str, Mapping[str, Interval]] | None = None,
) -> Table:
    """One row per class or set, one column per prompt and, where clicks were counted, per IoU to reach.

    Args:
        by_class: from each name to its summary.
        heading: of the first column.
        intervals: from the same names to the intervals of these figures; a summary may have none.
    """
    keys = shown_keys(by_class)
    rows = [
        [
            name,
            f"{summary['num_masks']:,.0f}",
            *(with_interval(key, summary, (intervals or {}).get(name, {})) for key in keys),
        ]
        for name, summary in by_class.items()
    ]
    return Table(columns=[heading, "masks", *map(figure_words, keys)], rows=rows)


def shown_keys(summaries: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The figures of several summaries that have a column: mIoU by prompt, then clicks until an IoU."""
    mious = [key for summary in summaries.values() for key in miou_keys(summary)]
    clicks = [key for summary in summaries.values() for key in summary if key.startswith(CLICKS)]
    return list(dict.fromkeys([*mious, *clicks]))


def figure_words(key: str) -> str:
    """What a figure was asked with: `miou@3` -> "3 clicks", `noc@90` -> "NoC@90"."""
    return key.replace("noc", "NoC") if key.startswith(CLICKS) else prompt_words(key.partition("@")[2])


def measured_on(summaries: Mapping[str, Mapping[str, float]]) -> str:
    """Of how many masks and images a mean is, in a sentence."""
    counts = {(summary.get("num_masks"), summary.get("num_images")) for summary in summaries.values()}
    ((masks, images), *others) = counts or {(None, None)}
    if others or masks is None or images is None:
        return "Mean IoU over masks."
    return f"Mean IoU over {masks:,.0f} masks of {images:,.0f} images, at the resolution of the source."
