"""Files that cannot be read as is meant: the problems that were met on the way, by their kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sam_ft.doctor.findings import Finding, Found, Severity, counted
from sam_ft.doctor.seen import Seen


class Kind(NamedTuple):
    """What is to be said of all problems of one code."""

    noun: str
    text: str  # follows the number and the noun
    advice: str


PROBLEMS = {
    "unreadable_image": Kind("image", "cannot be read.", "Bring them anew, or take them and their labels out."),
    "unreadable_label": Kind("label", "cannot be read.", "Bring them anew, or take them and their images out."),
    "too_large": Kind("file", "larger than the memory that is free.", "Cut them into parts, or use a larger machine."),
    "no_finite_value": Kind("image", "without any finite value.", "Export them anew, or take them out."),
    "size_mismatch": Kind(
        "label", "of another size than the image.", "Export the labels at the size of their images; do not resize them."
    ),
    "other_grid": Kind(
        "label",
        "on another grid than the image.",
        "Resample the label to its image by the nearest neighbour; if voxels match one to one, correct its affine.",
    ),
    "colour_label": Kind(
        "label",
        "that holds colours instead of numbers.",
        "Write one channel: 0 for the background, a number for each object or class.",
    ),
    "fractional_label": Kind(
        "label",
        "with fractions, such as probabilities.",
        "Write whole numbers; a probability map needs a threshold first.",
    ),
    "negative_label": Kind("label", "with negative numbers.", "Number from 0, the background, up."),
    "lossy_label": Kind(
        "label",
        "stored as JPEG, which makes new numbers along every edge: each would be an object.",
        "Export the labels as PNG from where they were made; what JPEG has changed does not come back.",
    ),
    "series": Kind(
        "image",
        "of four dimensions.",
        "Choose one volume of each series: data.volume_index=0, or another number (data=nifti).",
    ),
}
"""Every problem keeps a file from being used: all of them are errors."""


def check_files(seen: Sequence[Seen]) -> Iterator[Finding]:
    """One finding for each kind of problem."""
    by_code: dict[str, list[Found]] = defaultdict(list)
    for each in seen:
        for problem in each.problems:
            by_code[problem.code].append(problem.found)
    for code, found in by_code.items():
        kind, places = PROBLEMS[code], tuple(dict.fromkeys(found))  # of a file of several channels once
        yield Finding(code, Severity.ERROR, f"{counted(len(places), kind.noun)} {kind.text}", kind.advice, places)
