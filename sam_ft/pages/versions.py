"""What the numbers on a page were made with."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

import torch


def versions() -> list[tuple[str, str]]:
    """What the numbers were made with."""
    return [
        ("sam-ft", version("sam-ft")),
        ("torch", torch.__version__),
        ("Python", sys.version.split()[0]),
        ("machine", f"{platform.machine()}, {torch.get_num_threads()} threads"),
    ]
