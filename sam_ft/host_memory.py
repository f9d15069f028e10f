"""The C library's memory between two steps on the CPU."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of these settings in glibc's malloc.h."""

_KEPT_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Let the C library keep up to a GiB of freed memory for the next tensors instead of giving it back at once.

    By default glibc returns every freed tensor of 32 MiB or more to the system, which has to clear its pages again for
    the next one. In a U-Net at 512 px that was 40 % of a training step.

    Returns:
        Whether this C library has such settings; only glibc does, and elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return bool(mallopt and mallopt(_MMAP_THRESHOLD, _KEPT_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
