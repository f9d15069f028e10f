from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.benchmarks import __main__ as program
from tests.benchmarks import comparing
from tests.benchmarks.comparing import Row, Timing, compare, measured, with_head
from tests.benchmarks.peer_process import PeerProcess
from tests.benchmarks.results import read_rows, save_picture, table, write_rows

ROW = Row("a", ours=1, peer=2, peer_name="p", ratio=2, at_least=1, unit="ms", outputs_agree=True)


class Clock:
    """Time that passes only while `work` is done, so that a busy machine changes nothing."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: list[float] = []

    def work(self, seconds: float) -> float:
        self.now += seconds
        self.turns.append(seconds)
        return seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(comparing.time, "perf_counter", lambda: clock.now)
    return clock


def test_both_sides_have_their_turn_and_the_ratio_says_how_many_times_as_fast_ours_is(clock: Clock) -> None:
    row = compare("n", ours=lambda: clock.work(0.0025), peer=lambda: clock.work(0.01), peer_name="slow",
                  agree=lambda ours, peer: (ours, peer) == (0.0025, 0.01), timing=Timing(rounds=3))  # fmt: skip
    assert row.outputs_agree and row.holds
    assert (row.ours, row.peer, row.ratio) == pytest.approx((2.5, 10, 4))
    round_of_both = [0.0025, 0.0025, 0.01, 0.01]
    assert clock.turns == [0.0025, 0.01, 0.0025, 0.01, *round_of_both * 3]  # outputs, how long, three rounds


def test_a_round_in_which_the_machine_was_busy_does_not_count(clock: Clock) -> None:
    disturbed = iter([1, 1, 50, 1, 70])
    row = compare("n", ours=lambda: clock.work(0.1 * next(disturbed)), peer=lambda: clock.work(0.2), peer_name="slow",
                  agree=lambda ours, peer: True, timing=Timing(rounds=3))  # fmt: skip
    assert row.ratio == pytest.approx(2)


def test_items_in_a_second_are_more_the_faster_ours_is(clock: Clock) -> None:
    row = compare("n", ours=lambda: clock.work(0.25), peer=lambda: clock.work(0.5), peer_name="slow",
                  agree=lambda ours, peer: False, timing=Timing(rounds=1, items=10, unit="images/s"))  # fmt: skip
    assert (row.ours, row.peer, row.ratio) == pytest.approx((40, 20, 2)) and not row.holds


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="images/s, but got 'hours'"):
        Timing(unit="hours")


def test_of_memory_less_is_better() -> None:
    row = measured("n", ours=100, peer=300, peer_name="p", unit="MiB", outputs_agree=True, at_least=4)
    assert row.ratio == 3 and not row.holds


def test_the_head_is_the_worst_case_and_agrees_only_if_all_do() -> None:
    rows = [measured(f"n/{peer}", ours=1, peer=peer, peer_name="p", unit="MiB", outputs_agree=peer != 3)
            for peer in (3, 2, 4)]  # fmt: skip
    head, *cases = with_head("n", rows)
    assert (head.name, head.ratio, head.outputs_agree) == ("n", 2, False) and cases == rows


def test_rows_replace_those_of_their_benchmark_and_leave_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_rows(path, "b", [Row("b", 1, 1, "p", 1, 1, "ms", True), Row("b/x", 1, 1, "p", 1, 1, "ms", True)])
    write_rows(path, "a", [ROW])
    write_rows(path, "b", [Row("b", 7, 1, "p", 1 / 7, 1, "ms", False)])
    assert [(row.name, row.ours) for row in read_rows(path)] == [("a", 1), ("b", 7)]
    assert json.loads(path.read_text())[0] == {
        "name": "a", "ours": 1, "peer": 2, "peer_name": "p", "ratio": 2, "at_least": 1, "unit": "ms",
        "outputs_agree": True,
    }  # fmt: skip
    path.write_text("[{}]")
    with pytest.raises(ValueError, match="results.json"):
        read_rows(path)


def test_table_and_picture_show_every_row(tmp_path: Path) -> None:
    rows = [ROW, Row("b/slow", 4, 1, "p", 0.25, 1, "ms", False)]
    lines = table(rows).splitlines()
    assert "FAILS" not in lines[1] and "DIFFER" in lines[2] and lines[2].rstrip().endswith("FAILS")
    save_picture(tmp_path / "picture.png", rows)
    assert (tmp_path / "picture.png").stat().st_size > 5_000


def test_the_program_runs_what_it_is_asked_for_and_fails_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = {"good": [ROW], "bad": [Row("bad", 1, 2, "p", 2, 3, "ms", True)]}
    monkeypatch.setattr(program, "BENCHMARKS", {name: name for name in modules})
    monkeypatch.setattr(program, "FOLDER", tmp_path)
    for name, rows in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(rows=lambda rows=rows: rows))  # type: ignore[misc]
    assert program.main(["good"]) == 0
    assert program.main([]) == 1
    assert "Not as wanted: bad" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        program.main(["other"])
    assert "one of good, bad, but got other" in capsys.readouterr().err


def test_a_peer_in_a_process_of_its_own_is_timed_there(tmp_path: Path) -> None:
    np.save(tmp_path / "work.npy", np.arange(5))
    script = tmp_path / "peer.py"
    script.write_text(
        "import time, numpy as np\n"
        "def prepare(folder):\n"
        "    numbers = np.load(folder / 'work.npy')\n"
        "    def work():\n"
        "        print('peers print')\n"
        "        time.sleep(0.02)\n"
        "        return {'doubled': numbers * 2}\n"
        "    return work\n"
    )
    with PeerProcess(Path(sys.executable), script, folder=tmp_path) as peer:
        assert peer.seconds(2) >= 0.04
        assert peer.output()["doubled"].tolist() == [0, 2, 4, 6, 8]
        assert peer.peak_mib() > 5


def test_a_peer_that_fails_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text("def prepare(folder):\n    raise RuntimeError('broken')\n")
    with pytest.raises(RuntimeError, match="ended with code 1"):
        PeerProcess(Path(sys.executable), tmp_path / "peer.py", folder=tmp_path)
