"""Mean IoU by prompt as tables of a page."""

from __future__ import annotations

from collections.abc import Mapping

from sam_ft.evaluation.records.mask_record import prompt_words
from sam_ft.evaluation.records.summaries import miou_keys
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


def class_accuracy_table(summary: Mapping[str, float]) -> Table:
    """One row per prompt: how often the model has told the class, from what `summarise` returns."""
    found = {key: value for key, value in summary.items() if key.startswith("class_accuracy@")}
    rows = [[figure_words(key), f"{value:.3f}"] for key, value in found.items()]
    return Table(columns=["prompt", "class accuracy"], rows=rows, caption="Share of the masks whose class is told.")


def class_table(by_class: Mapping[str, Mapping[str, float]], *, heading: str = "class") -> Table:
    """One row per class or set, one column per prompt, from what `summarise_by_class` or `summarise_by_set` returns."""
    keys = list(dict.fromkeys(key for summary in by_class.values() for key in miou_keys(summary)))
    rows = [
        [name, f"{summary['num_masks']:,.0f}", *(f"{summary[key]:.3f}" if key in summary else "" for key in keys)]
        for name, summary in by_class.items()
    ]
    return Table(columns=[heading, "masks", *map(figure_words, keys)], rows=rows)


def figure_words(key: str) -> str:
    """What a figure was asked with: `miou@3` -> "3 clicks"."""
    return prompt_words(key.partition("@")[2])


def measured_on(summaries: Mapping[str, Mapping[str, float]]) -> str:
    """Of how many masks and images a mean is, in a sentence."""
    counts = {(summary.get("num_masks"), summary.get("num_images")) for summary in summaries.values()}
    ((masks, images), *others) = counts or {(None, None)}
    if others or masks is None or images is None:
        return "Mean IoU over masks."
    return f"Mean IoU over {masks:,.0f} masks of {images:,.0f} images, at the resolution of the source."
