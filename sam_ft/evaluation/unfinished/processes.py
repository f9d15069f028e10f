"""An evaluation by several processes of this machine; each runs the same command with a share of the images."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sam_ft.evaluation.unfinished.journal import Journals

_LOOK_EVERY_S = 0.5


def measure_in_processes(
    arguments: Sequence[str], count: int, *, journals: Journals, on_images: Callable[[int], object]
) -> None:
    """Run `sam-ft evaluate` so many times at once and wait; what they find is in the journals.

    The cores are divided among them; GPUs are given out in turn.

    Args:
        arguments: Of the command line, to which `shard=...` is added.
        count: How many processes.
        journals: Which they write.
        on_images: Receives the number of images done since the last time.

    Raises:
        ValueError: One of them failed; the others are stopped. The last line that it said is the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{number}.log" for number in range(1, count + 1)]
        running = [_started(arguments, number, log, count=count) for number, log in enumerate(logs, start=1)]
        done = 0
        try:
            while any(process.poll() is None for process in running):
                _expect_success(running, logs)
                time.sleep(_LOOK_EVERY_S)
                on_images((now := journals.num_finished()) - done)
                done = now
            _expect_success(running, logs)
        finally:
            for process in running:
                process.terminate()
                process.wait()


def _started(arguments: Sequence[str], number: int, log: Path, *, count: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count))}
    if num_gpus := torch.cuda.device_count():
        given = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(num_gpus)))).split(",")
        environment["CUDA_VISIBLE_DEVICES"] = given[(number - 1) % num_gpus]
    command = [sys.executable, "-m", "sam_ft.cli", "evaluate", *arguments, f"shard={number}/{count}"]
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def _expect_success(running: Sequence[subprocess.Popen[bytes]], logs: Sequence[Path]) -> None:
    for number, (process, log) in enumerate(zip(running, logs, strict=True), start=1):
        if process.poll():
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
            raise ValueError(
                f"Expected all {len(running)} processes to finish, but number {number} ended with code "
                f"{process.returncode} and said: {said[-1].removeprefix('sam-ft: ')}"
            )
