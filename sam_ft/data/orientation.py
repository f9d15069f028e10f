"""Photographs that are stored turned: a number beside the pixels says how a viewer turns or mirrors them."""

from __future__ import annotations

ORIENTATION = 274
"""Its tag in EXIF and TIFF 6.0."""
_TURNED = range(2, 9)


def expect_upright(orientation: object) -> None:
    """Refuse pixels that viewers turn or mirror, since labels may have been drawn on either picture.

    Most programs for drawing labels show what a viewer shows, most scripts read what is stored, and the size tells them
    apart at most where it is turned by 90 degrees, never upside down or mirrored.

    Args:
        orientation: What the tag says: 1 is upright, as is anything that is none of the eight ways.

    Raises:
        ValueError: It is 2 to 8; what to do is said.
    """
    if orientation in _TURNED:
        raise ValueError(
            f"viewers turn or mirror it (EXIF orientation {orientation}), its labels perhaps not: write it upright "
            "(mogrify -auto-orient) if they fit what viewers show, else remove the tag (exiftool -Orientation=)"
        )
