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
        Whether this C library took both settings. glibc does, an old one only that the heap is not trimmed (it does not
        allow so high a threshold); elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    taken = [bool(mallopt(setting, _KEPT_BYTES)) for setting in (_TRIM_THRESHOLD, _MMAP_THRESHOLD)]
    return all(taken)
