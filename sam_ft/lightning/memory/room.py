"""How much memory a device has left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch


def room_on(device: torch.device, *, num_processes: int = 1) -> int | None:
    """Bytes that are free for each process of a training.

    On a GPU, of which every process has its own, what other programs leave; else what the system has left, or the
    control group of this process where that is less, as SLURM and containers set it, in equal shares.

    Args:
        device: where a step is computed.
        num_processes: that train on this machine.

    Returns:
        The bytes; None where nothing tells.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [*free_in_system(), *free_in_control_groups()]
    return min(known) // num_processes if known else None


def free_in_system(table: Path = Path("/proc/meminfo")) -> Iterator[int]:
    """What Linux says is available; elsewhere all of the machine's memory, if that is known."""
    if table.is_file():
        for line in table.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
    elif "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def free_in_control_groups(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> Iterator[int]:
    """What each limited control group of this process may still take, of version 2 or 1.

    Pages of files that were not used lately do not count as taken: the system gives them up first.

    Source: the Linux kernel's documentation of control groups, versions 1 and 2.
    """
    if not groups.is_file():
        return
    for line in groups.read_text(encoding="utf-8").splitlines():
        number, controllers, name = line.split(":", maxsplit=2)
        if number == "0":
            root, files = mounted, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, files = mounted / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        limit_file, usage_file, given_up = files
        folder = root / name.lstrip("/")
        for group in (folder, *folder.parents[: len(folder.relative_to(root).parts)]):
            limit, usage = _number_in(group / limit_file), _number_in(group / usage_file)
            if limit is not None and usage is not None:
                yield max(limit - usage + _statistic(group / "memory.stat", given_up), 0)


def _number_in(path: Path) -> int | None:
    """The number that a file holds; None where it holds none (`max`), or is not there."""
    text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
    return int(text) if text.isdecimal() else None


def _statistic(path: Path, name: str) -> int:
    """One of a table's numbers; 0 where it is not there."""
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)
