"""Processes that share an evaluation, as the one that starts them sees them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sam_ft.checkpoints import save_meta
from sam_ft.evaluation.unfinished import processes
from sam_ft.evaluation.unfinished.journal import Journals
from sam_ft.models.sam.variants import build_model

NUM_IMAGES = 2000  # many more than are measured before the end


def wait_until(happened: Callable[[], bool], *, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not (done := happened()) and time.monotonic() < until:
        time.sleep(0.1)
    return done


def test_no_process_outlives_the_one_that_started_it(tmp_path: Path) -> None:
    """Each keeps its journal locked as long as it lives."""
    save_meta(build_model("vit_tiny", image_size=64), tmp_path / "sam.pth")
    data = ["data=synthetic", "data.num_train=1", f"data.num_val={NUM_IMAGES}", "data.num_test=0", "data.image_size=64"]
    given = [f"checkpoint={tmp_path / 'sam.pth'}", f"output={tmp_path / 'eval'}", "image_size=64", "part=val", *data]
    command = [sys.executable, "-m", "sam_ft.cli", "evaluate", *given, "clicks=[1]", "batch_size=1", "processes=2"]
    files = [tmp_path / "eval" / "unfinished" / f"{number}.jsonl" for number in (1, 2)]

    def num_lines() -> list[int]:
        return [file.read_bytes().count(b"\n") if file.exists() else 0 for file in files]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as parent:
        try:
            assert wait_until(lambda: all(count > 2 for count in num_lines()), seconds=120)
        finally:
            parent.send_signal(signal.SIGTERM)

    def are_free() -> bool:
        journals = Journals(tmp_path / "eval" / "unfinished", {}, list, count=NUM_IMAGES, name_of=lambda entry: None)
        try:
            for number in (1, 2):
                with journals.writer(number):
                    pass
        except ValueError:
            return False
        return True

    assert wait_until(are_free, seconds=20)
    counts = num_lines()
    time.sleep(1)
    assert num_lines() == counts and all(count < NUM_IMAGES / 2 for count in counts)


def test_what_the_processes_have_not_finished_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end well, and yet left nothing."""

    def started(*arguments: object, **settings: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)

    monkeypatch.setattr(processes, "_started", started)
    with pytest.raises(ValueError, match="all 3 images .* but 3 are missing"):
        processes.measure_in_processes(
            [],
            2,
            journals=Journals(tmp_path, {}, list, count=3, name_of=lambda entry: None),
            on_units=lambda count: None,
        )


def test_a_process_that_nobody_started_does_not_look_at_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *arguments: pytest.fail("It ended."))
    monkeypatch.setattr(processes.threading, "Thread", lambda **settings: pytest.fail("It waits."))
    processes.end_with_parent()
