from __future__ import annotations

from pathlib import Path

import torch

from sam_ft.lightning.memory.room import free_in_control_groups, free_in_system, room_on


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(text + "\n")


def test_this_machine_has_some_room_and_processes_share_it() -> None:
    free, shared = (room_on(torch.device("cpu"), num_processes=count) for count in (1, 4))
    assert free is not None and shared is not None
    assert 2**28 < free < 2**45 and free / 8 < shared < free / 2


def test_linux_says_what_is_available(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:       24000 kB\nMemFree:        1000 kB\nMemAvailable:   2000 kB\n")
    assert list(free_in_system(table)) == [2000 * 1024]


def test_a_control_group_of_version_2_and_those_above_it_have_limits(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    groups.write_text("0::/slurm/job_7/step\n")
    write(mounted / "slurm" / "job_7" / "step", max="max", current="300", stat="anon 200\ninactive_file 50")
    write(mounted / "slurm" / "job_7", max="1000", current="600", stat="anon 200\ninactive_file 150")
    write(mounted / "slurm", max="500", current="600", stat="anon 600\ninactive_file 0")
    assert list(free_in_control_groups(groups, mounted)) == [550, 0]


def test_a_control_group_of_version_1_has_a_limit(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    groups.write_text("3:cpuset:/\n4:memory:/job_7\n0::/\n")
    write(
        mounted / "memory" / "job_7", limit_in_bytes="1000", usage_in_bytes="600", stat="cache 9\ntotal_inactive_file 5"
    )
    assert list(free_in_control_groups(groups, mounted)) == [405]


def test_no_control_group_sets_no_limit(tmp_path: Path) -> None:
    groups = tmp_path / "cgroup"
    assert list(free_in_control_groups(groups, tmp_path)) == []
    groups.write_text("0::/\n")
    assert list(free_in_control_groups(groups, tmp_path)) == []
