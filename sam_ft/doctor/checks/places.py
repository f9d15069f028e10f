"""Whether masks lie where they should: shifted or mirrored labels of a whole data set."""

from __future__ import annotations

from collections.abc import Iterator

from sam_ft.doctor.alignment import Alignment
from sam_ft.doctor.findings import Finding, Severity


def check_places(alignment: Alignment) -> Iterator[Finding]:
    """A claim only where most images agree; see `sam_ft.doctor.alignment`."""
    count = len(alignment.shifts)
    if mirrored := alignment.mirrored():
        text = (
            f"Labels are mirrored: in {mirrored.share:.0%} of {count} pictures they fit the edges much better with "
            f"{mirrored.what} exchanged."
        )
        advice = "Export the labels as their images are, or correct the affine of the label volumes."
        yield Finding("mirrored_labels", Severity.ERROR, text, advice)
    elif shift := alignment.shift():
        ways = [
            f"{abs(share):.1%} of the longer side to the {way}"
            for share, way in (
                (shift.right, "right" if shift.right > 0 else "left"),
                (shift.down, "bottom" if shift.down > 0 else "top"),
            )
            if share
        ]
        text = f"Labels are shifted by about {' and '.join(ways)}: {shift.share:.0%} of {count} pictures agree."
        advice = "Look at the outlines below; export the labels again without the shift."
        yield Finding("shifted_labels", Severity.ERROR, text, advice)
