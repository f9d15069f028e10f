"""Checks of a user's settings that several parts share."""

from __future__ import annotations


def expect_whole_number(name: str, value: object, *, least: int) -> int:
    """The value itself.

    Raises:
        ValueError: if it is no whole number of at least `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"Expected `{name}` to be a whole number of at least {least}, but got {value!r}.")
    return value


def expect_number(name: str, value: object, *, least: float) -> float:
    """The value itself.

    Raises:
        ValueError: if it is no number of at least `least`.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= least:
        raise ValueError(f"Expected `{name}` of at least {least}, but got {value}.")
    return value


def shortened(text: str, most: int = 80) -> str:
    """A text for a message, of so many characters at most."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def quoted(value: object) -> str:
    """What somebody wrote, as it would be written in Python, of 200 characters at most."""
    return shortened(repr(value), 200)


def expect_bool(name: str, value: object) -> bool:
    """The value itself.

    Raises:
        ValueError: if it is neither true nor false.
    """
    if not isinstance(value, bool):
        raise ValueError(f"Expected `{name}` to be true or false, but got {value!r}.")
    return value
