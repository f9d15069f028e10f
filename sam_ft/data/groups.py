"""Which images never come apart in a split: those whose paths have the same text where an expression looks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def group_in(path: Path, rule: str) -> str:
    """What the first parentheses of a regular expression match in a path, or all that it matches.

    Raises:
        ValueError: The expression makes no sense, or does not match this path.
    """
    try:
        match = re.search(rule, path.as_posix())
    except re.error as err:
        raise ValueError(f"Expected `group` to be a regular expression, but got {rule!r}: {err}.") from err
    text = match and match.group(1 if match.re.groups else 0)
    if text is None:
        raise ValueError(f"Expected `group` to match every image's path, but {rule!r} is not in {path}.")
    return text


def with_groups(paths: Iterable[Path], rule: str) -> list[tuple[str, Path]]:
    """The group of each image, and the image; raises as `group_in`."""
    return [(group_in(path, rule), path) for path in paths]
