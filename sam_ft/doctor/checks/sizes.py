"""How large the images are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sam_ft.doctor.findings import Finding, Found, Severity
from sam_ft.doctor.seen import Seen

UNEQUAL = 4.0
LONG = 5.0


def check_sizes(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Very unequal sizes, and very long images."""
    sized = [(each.where, each.image.size) for each in seen if each.image is not None and len(each.image.size) == 2]
    if not sized:
        return
    ordered = sorted(sized, key=lambda each: max(each[1]))
    (smallest, small), (largest, large) = ordered[0], ordered[-1]
    if max(large) >= UNEQUAL * max(small):
        text = (
            f"Very unequal sizes: from {small[0]} x {small[1]} to {large[0]} x {large[1]} pixels. All are brought to "
            "one frame, so that what is as large in the files is not as large for the model."
        )
        advice = "Cut the large images into parts if their objects look small on the pictures below."
        found = (Found(smallest, f"{small[0]} x {small[1]}"), Found(largest, f"{large[0]} x {large[1]}"))
        yield Finding("unequal_sizes", Severity.NOTE, text, advice, found)
    long = tuple(Found(where, f"{h} x {w}") for where, (h, w) in sized if max(h, w) >= LONG * min(h, w))
    if long:
        text = f"{len(long):,} images with a side {LONG:g} times as long as the other: most of their frame is padding."
        yield Finding("long_images", Severity.WARNING, text, "Cut them into parts that are nearly square.", long)
