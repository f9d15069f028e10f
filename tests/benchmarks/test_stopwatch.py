from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.benchmarks import stopwatch
from tests.benchmarks.stopwatch import Stopwatch


def test_a_stage_inside_another_one_is_taken_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: clock.now)
    work = SimpleNamespace()

    def inner(seconds: float) -> float:
        clock.now += seconds
        return seconds

    def outer() -> float:
        clock.now += 2
        return work.inner(3) + work.inner(1)

    work.inner, work.outer = inner, outer
    watch = Stopwatch()
    watch.watch("inside", work, "inner")
    watch.watch("around", work, "outer")
    assert work.outer() == 4
    work.inner(1)
    assert watch.seconds == {"inside": 5, "around": 2}
    assert watch.as_arrays()["seconds.around"] == 2
    watch.clear()
    assert watch.seconds == {}
