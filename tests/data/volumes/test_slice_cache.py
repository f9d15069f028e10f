from __future__ import annotations

import multiprocessing
import os
import pickle
import secrets
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam_ft.data.volumes.disk_cache import DiskCache
from sam_ft.data.volumes.slice_cache import SliceCache


def counted(calls: list[str], key: str) -> np.ndarray:
    calls.append(key)
    return np.arange(2**20, dtype=np.uint8).reshape(4, 512, 512)  # 1 MiB


def read(cache: SliceCache, key: str, calls: list[str]) -> np.ndarray:
    return cache.plane(key, 1, decode=lambda: counted(calls, key))


def test_a_volume_is_decoded_once_and_read_from_the_disk_by_others(tmp_path: Path) -> None:
    calls: list[str] = []
    first = read(SliceCache(folder=tmp_path), "a", calls)
    second = read(SliceCache(folder=tmp_path), "a", calls)
    assert calls == ["a"] and np.array_equal(first, second)
    assert SliceCache(folder=tmp_path).whole("a", decode=lambda: counted(calls, "a")).shape == (4, 512, 512)
    assert calls == ["a"]


def _ask(folder: Path, disk_gib: float, barrier: Any) -> None:
    """One of the processes that ask for a plane, all of it and a fact of the same volume at the same time."""

    def slow(content: Any) -> Any:
        time.sleep(0.3)
        (folder / "made" / secrets.token_hex(8)).touch()
        return content

    cache = SliceCache(folder=folder / "cache", disk_gib=disk_gib)
    volume = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    barrier.wait()
    plane = cache.plane("a", 1, decode=lambda: slow(volume))
    facts = cache.facts("b", compute=lambda: slow({"x": 1}))
    if not np.array_equal(plane, volume[1]) or facts != {"x": 1}:
        raise SystemExit(1)


@pytest.mark.parametrize("disk_gib, num_made", [(1, 2), (1e-9, 5)], ids=["room", "no room"])
def test_what_several_processes_need_at_once_is_made_by_one_if_there_is_room(
    tmp_path: Path, disk_gib: float, num_made: int
) -> None:
    (tmp_path / "made").mkdir()
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_ask, args=(tmp_path, disk_gib, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(os.listdir(tmp_path / "made")) == num_made
    assert not list((tmp_path / "cache").glob(".?*.lock"))


def test_nobody_waits_for_volumes_that_are_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiskCache, "turn", lambda *_: pytest.fail("it waits"))
    cache = SliceCache(disk_gib=0, memory_mib=0, folder=tmp_path)
    calls: list[str] = []
    read(cache, "a", calls)
    cache.whole("b", decode=lambda: counted(calls, "b"))
    assert calls == ["a", "b"]


def test_memory_holds_what_the_disk_does_not_up_to_its_limit(tmp_path: Path) -> None:
    cache = SliceCache(memory_mib=2, disk_gib=0, folder=tmp_path)
    calls: list[str] = []
    for key in "ababcab":
        read(cache, key, calls)
    assert calls == ["a", "b", "c", "a", "b"]
    assert cache.whole("b", decode=lambda: counted(calls, "b")).nbytes == 2**20 and len(calls) == 5


def test_what_is_on_the_disk_takes_no_memory(tmp_path: Path) -> None:
    cache = SliceCache(folder=tmp_path)
    read(cache, "a", [])
    assert len(pickle.dumps(cache)) < 2000 and not cache._memory


@pytest.mark.parametrize("disk_gib", [0, 1])
def test_a_plane_does_not_keep_its_volume_alive(tmp_path: Path, disk_gib: float) -> None:
    cache = SliceCache(disk_gib=disk_gib, folder=tmp_path)
    decoded, again = read(cache, "a", []), read(cache, "a", [])
    assert decoded.base is None  # no view
    assert again.base is None or again.nbytes == memoryview(again.base.base).nbytes  # the bytes of one plane
    assert np.array_equal(decoded, again)


def test_a_copy_for_a_worker_leaves_decoded_volumes_behind(tmp_path: Path) -> None:
    cache = SliceCache(disk_gib=0, folder=tmp_path)
    read(cache, "a", [])
    assert cache._memory and len(pickle.dumps(cache)) < 2000


def test_facts_are_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute() -> dict[str, object]:
        calls.append(1)
        return {"range": (1.5, 2.0)}

    for _ in range(2):
        facts = SliceCache(disk_gib=0, folder=tmp_path).facts("a", compute=compute)
        assert list(facts["range"]) == [1.5, 2.0]
    assert calls == [1]


def test_the_folder_is_the_one_of_the_environment_or_the_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM_FT_CACHE", str(tmp_path))
    assert SliceCache().disk.folder == tmp_path / "volumes"
    assert SliceCache(folder=tmp_path / "x").disk.folder == tmp_path / "x"
    monkeypatch.delenv("SAM_FT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert SliceCache().disk.folder == tmp_path / "sam-ft" / "volumes"


@pytest.mark.parametrize("limits", [{"memory_mib": -1}, {"disk_gib": -0.5}, {"disk_gib": float("nan")}])
def test_negative_limits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        SliceCache(**limits)  # type: ignore[arg-type]
