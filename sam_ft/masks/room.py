"""How many masks may be in memory at once, so that a damaged file is refused and not a process killed."""

from __future__ import annotations

from pathlib import Path

_MOST_BYTES = 1 << 33


def expect_room(num_masks: int, *, size: tuple[int, ...], path: Path) -> None:
    """Refuse to make more than 8 GiB of masks, a byte for each pixel.

    Args:
        num_masks: How many there are to be.
        size: (height, width) of each.
        path: Of the file that says so.

    Raises:
        ValueError: They would be more.
    """
    height, width = size
    if num_masks * height * width > _MOST_BYTES:
        raise ValueError(
            f"Expected objects whose masks take at most {_MOST_BYTES >> 30} GiB in {path}, but got {num_masks} objects "
            f"of {height} x {width} pixels; is it a file of objects?"
        )
