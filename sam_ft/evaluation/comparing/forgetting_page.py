"""The page of a forgetting report: what a fine-tuning gained on its own data and what it lost on other data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sam_ft.charts.calibration import calibrations_figure
from sam_ft.charts.differences import Difference
from sam_ft.evaluation.comparing.changes import BETTER, SAME, UNKNOWN, WORSE, Change
from sam_ft.evaluation.comparing.changes_shown import INTERVALS, changes_picture, changes_table
from sam_ft.evaluation.comparing.forgetting import Comparison
from sam_ft.evaluation.showing.cases import ShownCase
from sam_ft.evaluation.showing.page import PROTOCOL, curves
from sam_ft.evaluation.showing.picture_rows import picture_row
from sam_ft.inference.thresholds import describe
from sam_ft.pages.page import Block, Card, Code, Facts, Gallery, Page, Picture, Section, Text
from sam_ft.pages.tables import signed
from sam_ft.pages.versions import versions
from sam_ft.pictures import to_png

EVERYTHING = (
    "In everything-mode nothing is asked for: the model proposes masks at a grid of points, and two thresholds choose "
    "among them. The score is the mean over IoU thresholds from 0.50 to 0.95 of TP / (TP + FP + FN) in each image, and "
    "counts as wrong what nobody marked. Fitted thresholds are chosen for each model on these same images."
)


def forgetting_page(
    comparisons: Sequence[Comparison],
    *,
    title: str,
    subtitle: str,
    shown: Mapping[str, Sequence[ShownCase]],
    command: str,
    settings: str = "",
) -> Page:
    """Headline differences, and for each data set tables, charts and pictures.

    Args:
        comparisons: of the own data and of other data.
        title: of the page.
        subtitle: below it.
        shown: the pictured objects of each data set, by its name.
        command: what made the page.
        settings: of the data sets, as YAML.
    """
    made: list[Block] = [Text(PROTOCOL), Text(EVERYTHING), Code(command), Facts(versions())]
    if settings:
        made.insert(3, Code(settings, summary="The data sets"))
    return Page(
        title=title,
        subtitle=subtitle,
        cards=[card for comparison in comparisons for card in _cards(comparison)],
        sections=[
            Section("In short", [Text(in_short(comparison)) for comparison in comparisons], lead=INTERVALS),
            *(section for each in comparisons for section in _sections(each, shown.get(each.name, ()))),
            Section("How it was made", made),
        ],
        footer="Made by sam-ft.",
    )


def in_short(comparison: Comparison) -> str:
    """What happened on one data set, in a sentence."""
    verdicts = [row.verdict for row in comparison.changes]
    if set(verdicts) == {UNKNOWN}:
        return f"{comparison.title}: too few images to tell."
    named = {
        verdict: "; ".join(row.prompt for row in comparison.changes if row.verdict == verdict)
        for verdict in (BETTER, WORSE, SAME, UNKNOWN)
    }
    return f"{comparison.title}. " + " ".join(
        f"{verdict.capitalize()}: {prompts}." for verdict, prompts in named.items() if prompts
    )


def _cards(comparison: Comparison) -> list[Card]:
    """The first and the last prompt and everything-mode: the difference, with before and after below it."""
    asked = [row for row in comparison.changes if "everything" not in row.prompt]
    found = [row for row in comparison.changes if "everything" in row.prompt]
    chosen = [asked[0], *asked[-1:], *found[-1:]] if len(asked) > 1 else [*asked, *found[-1:]]
    return [
        Card(
            label=f"{comparison.title}: {row.prompt}",
            value=signed(row.difference),
            detail=f"{row.before:.3f} → {row.after:.3f}, {row.verdict}",
        )
        for row in chosen
    ]


def _sections(comparison: Comparison, shown: Sequence[ShownCase]) -> list[Section]:
    before, after = comparison.before, comparison.after
    images = int(before.measurement.summary["num_images"])
    masks = int(before.measurement.summary["num_masks"])
    caption = f"{masks:,} masks of {images:,} images. The count is masks, in everything-mode images."
    blocks: list[Block] = [
        changes_table(comparison.changes, caption=caption),
        curves({"before": before.measurement.summary, "after": after.measurement.summary}),
    ]
    sections = [Section(comparison.title, blocks, lead="Mean IoU over masks, before and after the fine-tuning.")]
    everything = [
        Text(f"{side.capitalize()}. {describe(given.thresholds)}")
        for side, given in (("before", before), ("after", after))
        if given.thresholds is not None
    ]
    sizes: list[Block] = [_differences(comparison)]
    if comparison.by_size:
        sizes.append(changes_table(comparison.by_size))
    sections.append(Section(f"{comparison.title}: by prompt and size", sizes, lead=_sizes_lead(comparison)))
    trust: list[Block] = [_calibrations(comparison), *everything]
    sections.append(Section(f"{comparison.title}: trust in masks", trust, lead=_trust_lead(comparison)))
    rows = [
        picture_row(
            case, {"before": before.measurement, "after": after.measurement}, prompt=prompt, num_clicks=num_clicks
        )
        for case in shown
        for prompt, num_clicks in (("click", 1), ("box", 0))
        if (case.sample.name, case.object_index, prompt, num_clicks) in after.measurement.answers
    ]
    if rows:
        lead = "Objects spread evenly over the data set, not chosen by result."
        sections.append(Section(f"{comparison.title}: pictures", [Gallery(rows)], lead=lead))
    return sections


def _differences(comparison: Comparison) -> Picture:
    rows = [
        Difference(row.prompt.replace("everything, ", ""), row.difference, row.low, row.high, group=_group(row))
        for row in (*comparison.changes, *comparison.by_size)
    ]
    return changes_picture(rows, alt=f"Differences between before and after on {comparison.title}")


def _group(row: Change) -> str:
    if "everything" in row.prompt:
        return "everything"
    return "all objects" if row.objects == "all" else row.objects


def _calibrations(comparison: Comparison) -> Picture:
    both = {"before": comparison.before.measurement.calibration, "after": comparison.after.measurement.calibration}
    return Picture(
        to_png(calibrations_figure(both)),
        alt=f"True IoU against predicted IoU on {comparison.title}",
        png_dark=to_png(calibrations_figure(both, dark=True)),
    )


def _sizes_lead(comparison: Comparison) -> str:
    if not comparison.by_size:
        return "All objects are of one size."
    return "Sizes are areas at the source's resolution: COCO's limits, or thirds where these tell nothing apart."


def _trust_lead(comparison: Comparison) -> str:
    before, after = comparison.before.measurement.calibration, comparison.after.measurement.calibration
    return (
        "By the predicted IoU the model chooses among its masks, and the mask generator keeps or drops them. It was "
        f"off by {before.error:.3f} before ({_too(before.bias)}), and is off by {after.error:.3f} after "
        f"({_too(after.bias)})."
    )


def _too(bias: float) -> str:
    return f"{abs(bias):.3f} too {'high' if bias > 0 else 'low'} on average"
