"""The page of one evaluation of whole volumes."""

from __future__ import annotations

from collections.abc import Sequence

from sam_ft.evaluation.showing.figures import with_interval, written, written_with_ends
from sam_ft.evaluation.volumes.measuring import MeasuredVolume, ShownSlice
from sam_ft.evaluation.volumes.scores import VolumeMeasurement, VolumeScore
from sam_ft.pages.page import Card, Code, Facts, Gallery, Page, Picture, PictureRow, Section, Table
from sam_ft.pages.versions import versions
from sam_ft.pictures import overlay, to_png, view_around

RULE = (
    "A class that is in neither truth nor prediction of a volume is not counted there. One that is in only one of them "
    "has DSC 0, NSD 0 and as HD95 the diagonal of the volume."
)
_PROMPTED = (
    "Each slice is asked for by itself, with a {prompt} for every object that it holds. So the user is taken to know "
    "which slices hold an object: nothing can be found in others. A model without prompts has no such help."
)
_WITHOUT = "Each slice is classified pixel by pixel, without prompts, those that hold no object or too small ones too."
_KEYS = ("dice", "nsd", "hd95_mm", "slice_dice")


def volume_page(
    measurement: VolumeMeasurement, *, title: str, volumes: Sequence[MeasuredVolume], pictures: int, command: str
) -> Page:
    """Headline numbers, a table of classes, one of volumes, and slices of the worst, median and best volumes.

    Args:
        measurement: what came out.
        title: the page's heading.
        volumes: all of them.
        pictures: of how many volumes to show slices, at most.
        command: what made the page.
    """
    summary = measurement.summary
    asked = _WITHOUT if measurement.prompt == "none" else _PROMPTED.format(prompt=measurement.prompt)
    names = _names(measurement.tolerance_mm)
    cards = [Card(names[key], with_interval(key, summary, {}), _over_classes(measurement, key)) for key in _KEYS]
    return Page(
        title=title,
        subtitle=f"{summary['num_volumes']:,.0f} volumes, {summary['num_slices']:,.0f} slices",
        cards=cards,
        sections=[
            Section("Results", volume_tables(measurement), lead=f"{asked} {RULE}"),
            Section(
                "Pictures",
                [Gallery([_row(volume) for volume in _spread(volumes, pictures)])],
                lead="Of each volume the worst, the median and the best slice by Dice; the worst volume first.",
            ),
            Section("How it was made", [Code(command), Facts(versions())]),
        ],
        footer="Made by sam-ft.",
    )


def volume_tables(measurement: VolumeMeasurement) -> list[Table]:
    """One of classes, one of volumes."""
    return [class_table(measurement), volume_table(measurement)]


def class_table(measurement: VolumeMeasurement) -> Table:
    """One row per class: means over its volumes, with their intervals where there are enough; of several their mean."""
    names = _names(measurement.tolerance_mm)
    rows = [
        [
            name,
            f"{each['num_volumes']}",
            *(written_with_ends(key, each[key], each["intervals"].get(key)) for key in _KEYS),
            _change(each["difference_ml"]),
            _percent(each["absolute_relative_difference"]),
            f"{each['num_absent']}, {each['num_missed']}, {each['num_invented']}",
        ]
        for name, each in measurement.by_class.items()
    ]
    if len(rows) > 1:
        summary = measurement.summary
        mean = (with_interval(key, summary, measurement.intervals) for key in _KEYS)
        change = _change(summary.get("difference_ml")), _percent(summary.get("absolute_relative_difference"))
        rows.append(["mean", f"{summary['num_volumes']:,.0f}", *mean, *change, ""])
    columns = ["class", "volumes", *names.values(), "volume, ml", "volume, %", "absent, missed, invented"]
    caption = (
        "Means over volumes; in brackets 95 % bootstrap intervals over volumes. DSC: Dice over voxels. NSD: share of "
        f"the surfaces within {measurement.tolerance_mm:g} mm of each other, by area. HD95: 95th percentile of the "
        "distance between the surfaces. Volume: how much more or less than the truth in ml, and in %. "
        f"Absent: volumes without the class, not counted. {measurement.without_intervals}"
    )
    return Table(columns=columns, rows=rows, caption=caption)


def volume_table(measurement: VolumeMeasurement) -> Table:
    """One row per volume and class that counts, the worst Dice first."""
    counted = [score for score in measurement.scores if score.dice is not None]
    rows = [
        [
            f"{score.volume}, {score.class_name}",
            *(written_with_ends(key, getattr(score, key), None) for key in _KEYS),
            f"{score.truth_ml:.1f}",
            f"{score.predicted_ml:.1f}",
        ]
        for score in sorted(counted, key=lambda score: score.dice or 0.0)
    ]
    names = _names(measurement.tolerance_mm)
    return Table(columns=["volume, class", *names.values(), "true ml", "predicted ml"], rows=rows)


def _names(tolerance_mm: float) -> dict[str, str]:
    return dict(zip(_KEYS, ("DSC", f"NSD at {tolerance_mm:g} mm", "HD95, mm", "DSC of slices"), strict=True))


def _row(volume: MeasuredVolume) -> PictureRow:
    pictures = [_picture(shown, volume.name) for shown in volume.shown]
    return PictureRow(title=volume.name, pictures=pictures, columns=3)


def _picture(shown: ShownSlice, volume: str) -> Picture:
    drawn = overlay(
        shown.image, shown.predicted, truth=shown.truth, view=view_around(shown.truth | shown.predicted, margin=1.0)
    )
    title = f"{volume}, {shown.title}"
    return Picture(
        to_png(drawn), alt=f"Truth and prediction of {title}", caption=shown.title, value=f"DSC {shown.dice:.3f}"
    )


def _spread(volumes: Sequence[MeasuredVolume], count: int) -> list[MeasuredVolume]:
    """The worst volume, the best one and those evenly between them; at most so many."""
    ordered = sorted((volume for volume in volumes if volume.shown), key=lambda volume: _dice_of(volume.scores))
    count = min(count, len(ordered))
    places = {round(turn * (len(ordered) - 1) / max(count - 1, 1)) for turn in range(count)}
    return [ordered[place] for place in sorted(places)]


def _dice_of(scores: Sequence[VolumeScore]) -> float:
    known = [score.dice for score in scores if score.dice is not None]
    return sum(known) / len(known) if known else 0.0


def _over_classes(measurement: VolumeMeasurement, key: str) -> str:
    """Below a headline number, which is a mean over classes: its interval, if there is one."""
    interval = measurement.intervals.get(key)
    ends = f", 95 %: {written(key, interval.low)} to {written(key, interval.high)}" if interval else ""
    return f"mean over classes{ends}"


def _change(value: float | None) -> str:
    """A difference in words, since neither direction is a gain."""
    if value is None or round(value, 2) == 0:
        return "" if value is None else "0.00"
    return f"{abs(value):.2f} {'more' if value > 0 else 'less'}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
