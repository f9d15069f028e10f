"""How a data set shows the pixels of its images, out of the arguments of the function that builds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sam_ft.data.pixels import Look, PixelRule


def pixel_rule(arguments: Mapping[str, Any]) -> PixelRule:
    """The rule that the reader makes of the same arguments; raises as `PixelRule`."""
    return PixelRule(**cast(Look, {key: arguments[key] for key in Look.__annotations__ if key in arguments}))
