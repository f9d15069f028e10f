from __future__ import annotations

import logging
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from sam_ft.data.volumes.disk_cache import DiskCache

PLANES = np.arange(24, dtype=">i2").reshape(4, 3, 2)
SIZE = 10_128  # of a file with 10 000 bytes of planes


def volume(number: int) -> np.ndarray:
    return np.full((100, 10, 10), number, dtype=np.uint8)


def age(cache: DiskCache, key: str, *, hours: float) -> None:
    """Let an entry look as if it was last read so long ago."""
    then = time.time() - hours * 3600
    os.utime(cache.folder / f"{key}.npy", (then, then))


def test_planes_are_read_back_bit_by_bit(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "new", max_bytes=10_000)
    assert cache.plane("a", 0) is None and cache.planes("a") is None
    assert cache.keep_planes("a", PLANES)
    for index in range(4):
        plane = cache.plane("a", index)
        assert plane is not None and plane.dtype == PLANES.dtype and np.array_equal(plane, PLANES[index])
    assert np.array_equal(DiskCache(tmp_path / "new", max_bytes=0).planes("a"), PLANES)


def test_facts_are_read_back_and_a_damaged_file_has_none(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, max_bytes=0)
    assert cache.facts("a") is None
    cache.keep_facts("a", {"range": [0.5, 99.5]})
    assert cache.facts("a") == {"range": [0.5, 99.5]}
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    assert cache.facts("a") is None


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array at all" * 20])
def test_a_damaged_entry_is_no_entry_and_is_made_anew(tmp_path: Path, content: bytes) -> None:
    cache = DiskCache(tmp_path, max_bytes=10_000)
    (tmp_path / "a.npy").write_bytes(content)
    assert cache.plane("a", 0) is None and cache.planes("a") is None
    assert cache.keep_planes("a", PLANES) and cache.plane("a", 3) is not None


def test_an_entry_cut_short_is_no_entry(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, max_bytes=10_000)
    cache.keep_planes("a", PLANES)
    path = tmp_path / "a.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.plane("a", 2) is not None and cache.plane("a", 3) is None


def test_the_entries_unused_for_the_longest_time_make_room(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, max_bytes=3 * SIZE)
    for number, key in enumerate("abc"):
        assert cache.keep_planes(key, volume(number))
        age(cache, key, hours=5 - number)
    assert DiskCache(tmp_path, max_bytes=3 * SIZE).plane("a", 0) is not None  # used again
    assert cache.keep_planes("d", volume(3))
    assert cache.plane("b", 0) is None
    assert all(cache.plane(key, 0) is not None for key in "acd")


def test_entries_in_use_are_kept_and_the_rest_is_said_to_have_no_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = DiskCache(tmp_path, max_bytes=2 * SIZE)
    with caplog.at_level(logging.WARNING):
        kept = [cache.keep_planes(key, volume(0)) for key in "abcd"]
    assert kept == [True, True, False, False]
    assert caplog.text.count("full of volumes in use") == 1 and str(tmp_path) in caplog.text
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * SIZE


def test_a_volume_larger_than_the_limit_removes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = DiskCache(tmp_path, max_bytes=SIZE)
    cache.keep_planes("a", volume(0))
    age(cache, "a", hours=9)
    assert not cache.keep_planes("b", np.zeros((200, 10, 10), dtype=np.uint8))
    assert "larger than all of the cache" in caplog.text and cache.plane("a", 0) is not None


def test_what_a_killed_process_left_behind_makes_room(tmp_path: Path) -> None:
    left = tmp_path / ".1234.partial.z.npy"
    left.write_bytes(b"\0" * 20_000)
    os.utime(left, (1, 1))
    assert DiskCache(tmp_path, max_bytes=SIZE).keep_planes("a", volume(0)) and not left.exists()


def test_a_file_that_vanishes_while_room_is_made_does_not_matter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / ".1234.partial.z.npy"
    other.touch()
    scandir = os.scandir

    def renamed_meanwhile(folder: Path) -> list[os.DirEntry[str]]:
        found = list(scandir(folder))
        other.rename(tmp_path / "z.npy")
        return found

    monkeypatch.setattr("sam_ft.data.volumes.disk_cache.os.scandir", renamed_meanwhile)
    cache = DiskCache(tmp_path, max_bytes=SIZE)
    assert cache.keep_planes("a", volume(0)) and cache.plane("a", 0) is not None
    assert "cannot be written to" not in caplog.text


def test_an_entry_that_is_written_again_needs_no_room_but_its_own(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, max_bytes=SIZE)
    for number in range(2):
        assert cache.keep_planes("a", volume(number))
    plane = cache.plane("a", 0)
    assert plane is not None and (plane == 1).all()


def test_a_folder_that_cannot_be_made_is_warned_about_once_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = DiskCache(tmp_path / "file" / "folder", max_bytes=SIZE)
    assert not cache.keep_planes("a", volume(0)) and not cache.keep_planes("a", volume(0))
    cache.keep_facts("a", {"x": 1})
    assert caplog.text.count("cannot be written to") == 1 and cache.plane("a", 0) is None


def _keep(folder: Path, number: int) -> None:
    cache = DiskCache(folder, max_bytes=5 * SIZE)
    for _ in range(20):
        cache.keep_planes("same", volume(7))
        plane = cache.plane("same", number)
        if plane is None or not (plane == 7).all():
            raise SystemExit(1)
        cache.keep_planes(f"{number}", volume(number))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_that_write_the_same_entry_at_once_read_it_whole(tmp_path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=_keep, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert not list(tmp_path.glob(".*partial*"))
