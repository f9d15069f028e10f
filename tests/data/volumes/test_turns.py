from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from sam_ft.data.volumes.turns import turn


def _take_part(lock_path: Path, log: Path, seconds: float) -> None:
    with turn(lock_path) as is_first, open(log, "a", encoding="utf-8") as file:
        file.write(f"in {is_first}\n")
        file.flush()
        time.sleep(seconds)
        file.write("out\n")


def _start(lock_path: Path, log: Path, seconds: float = 0.2) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_take_part, args=(lock_path, log, seconds))
    process.start()
    return process


def _wait_for(log: Path) -> None:
    while not log.exists() or not log.read_text(encoding="utf-8"):
        time.sleep(0.01)


def test_turns_follow_each_other_and_leave_no_lock_behind(tmp_path: Path) -> None:
    lock_path, log = tmp_path / "new" / ".lock", tmp_path / "log"
    first = _start(lock_path, log)
    _wait_for(log)
    others = [_start(lock_path, log) for _ in range(2)]
    for process in (first, *others):
        process.join()
    lines = log.read_text(encoding="utf-8").split("\n")
    assert lines[0::2] == ["in True", "in False", "in False", ""] and lines[1::2] == ["out"] * 3
    assert not lock_path.exists()


def test_the_turn_of_a_killed_process_is_over(tmp_path: Path) -> None:
    lock_path, log = tmp_path / ".lock", tmp_path / "log"
    process = _start(lock_path, log, seconds=60)
    _wait_for(log)
    process.kill()
    process.join()
    with turn(lock_path):
        pass
    assert not lock_path.exists()


def test_an_error_ends_the_turn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="damaged"), turn(tmp_path / ".lock"):
        raise ValueError("damaged")
    assert not os.listdir(tmp_path)
    with turn(tmp_path / ".lock") as is_first:
        assert is_first


def test_everybody_is_first_where_no_lock_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with turn(tmp_path / "file" / ".lock") as is_first:
        assert is_first
    monkeypatch.setattr("sam_ft.data.volumes.turns._LONGEST_WAIT_S", 0.1)
    with turn(tmp_path / ".lock"), turn(tmp_path / ".lock") as is_first:
        assert is_first
