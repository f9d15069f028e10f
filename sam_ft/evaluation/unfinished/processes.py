"""An evaluation by several processes of this machine; each runs the same command with a share of the images."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from sam_ft.evaluation.unfinished.journal import Journals

_LOOK_EVERY_S = 0.5
_CHILD_VARIABLE = "SAM_FT_ENDS_WITH_INPUT"


def measure_in_processes(
    arguments: Sequence[str], count: int, *, journals: Journals[Any], on_units: Callable[[int], object]
) -> None:
    """Run `sam-ft evaluate` so many times at once and wait; what they find is in the journals.

    The cores are divided among them; GPUs are given out in turn. They end with this process, however it ends.

    Args:
        arguments: Of the command line, to which `shard=...` is added.
        count: How many processes.
        journals: Which they write.
        on_units: Receives the number of images or volumes done since the last time.

    Raises:
        ValueError: One of them failed; the others are stopped. The last line that it said is the reason. Or all ended
            well, and yet not everything is in the journals.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{number}.log" for number in range(1, count + 1)]
        running = [_started(arguments, number, log, count=count) for number, log in enumerate(logs, start=1)]
        done = 0
        try:
            while any(process.poll() is None for process in running):
                _expect_success(running, logs)
                time.sleep(_LOOK_EVERY_S)
                on_units((now := journals.num_finished()) - done)
                done = now
            _expect_success(running, logs)
        finally:
            for process in running:
                with process:  # waits
                    process.terminate()
    journals.expect_complete()


def end_with_parent() -> None:
    """End this process, if `measure_in_processes` has started it, as soon as the one that did has ended."""
    if os.environ.pop(_CHILD_VARIABLE, None):
        threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    """Wait for the end of a pipe that nobody writes to; the system closes it when the process at its other end ends."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _started(arguments: Sequence[str], number: int, log: Path, *, count: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count))}
    environment[_CHILD_VARIABLE] = "1"
    if num_gpus := torch.cuda.device_count():
        given = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(num_gpus)))).split(",")
        environment["CUDA_VISIBLE_DEVICES"] = given[(number - 1) % num_gpus]
    command = [sys.executable, "-m", "sam_ft.cli", "evaluate", *arguments, f"shard={number}/{count}"]
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT)


def _expect_success(running: Sequence[subprocess.Popen[bytes]], logs: Sequence[Path]) -> None:
    for number, (process, log) in enumerate(zip(running, logs, strict=True), start=1):
        if process.poll():
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
            raise ValueError(
                f"Expected all {len(running)} processes to finish, but number {number} ended with code "
                f"{process.returncode} and said: {said[-1].removeprefix('sam-ft: ')}"
            )
