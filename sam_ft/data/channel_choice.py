"""Which channels of an image that has any number of them become red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sam_ft.checks import shortened

Channel = str | int


def chosen_channels(
    names: Sequence[str], chosen: Channel | Sequence[Channel] | None, *, path: Path
) -> tuple[int] | tuple[int, int, int]:
    """Numbers of the one channel that is shown grey, or of the three that are red, green and blue.

    Args:
        names: Of all channels, in their order.
        chosen: One channel or three, by name or by number from 0; a channel may be named twice. None: all of them.
        path: The file that names the channels, for messages.

    Raises:
        ValueError: Another number of channels than one or three, or a channel that is not there or not the only one of
            its name.
    """
    wanted = list(range(len(names))) if chosen is None else [chosen] if isinstance(chosen, (str, int)) else list(chosen)
    numbers = [_number(names, channel, path) for channel in wanted]
    if len(numbers) == 1:
        return (numbers[0],)
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    raise ValueError(
        f"Expected `channels` to name one of {shortened(', '.join(names), 200)} in {path}, or three for red, green and "
        f"blue (one may be named twice), but got {'null' if chosen is None else list(wanted)}."
    )


def _number(names: Sequence[str], channel: Channel, path: Path) -> int:
    if isinstance(channel, int) and not isinstance(channel, bool) and 0 <= channel < len(names):
        return channel
    if isinstance(channel, str) and names.count(channel) == 1:
        return names.index(channel)
    numbered = shortened(", ".join(f"{number} {name}" for number, name in enumerate(names)), 200)
    raise ValueError(f"Expected each of `channels` to be one of {numbered} in {path}, but got {channel!r}.")
