"""A bar for what takes long; nothing is shown of what is over in two seconds."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress(total: int, name: str) -> tqdm[Any]:
    """Counts images; to be closed, or used in a `with`."""
    interval = 0.5 if sys.stderr.isatty() else 15
    return tqdm(total=total, desc=name, unit="image", mininterval=interval, delay=2, dynamic_ncols=True)
