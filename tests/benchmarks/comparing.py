"""Our way and a peer's way of doing the same work, timed in turn (A B A B) in one run, outputs checked to agree."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

_LEAST_SECONDS = 0.02  # short turns, so that some of them fall between the work of others
_MOST_REPEATS = 10_000


@dataclass(frozen=True)
class Row:
    """What one comparison found. `ratio` says how many times as good ours is; it is to be `at_least` so much."""

    name: str  # of the benchmark, or BENCHMARK/CASE
    ours: float
    peer: float
    peer_name: str
    ratio: float
    at_least: float
    unit: str  # of `ours` and `peer`
    outputs_agree: bool

    @property
    def holds(self) -> bool:
        """Whether the outputs agree and ours is good enough."""
        return self.outputs_agree and self.ratio >= self.at_least


class Side(Protocol):
    """One of the two ways."""

    def seconds(self, repeats: int) -> float:
        """How long the work takes, done so many times."""
        ...

    def output(self) -> Any:
        """What the work gives."""
        ...


@dataclass(frozen=True)
class Here:
    """Work of this process."""

    work: Callable[[], Any]

    def seconds(self, repeats: int) -> float:
        """Timed without the garbage collector, which would hit one side or the other by chance."""
        gc.collect()
        gc.disable()
        try:
            start = time.perf_counter()
            for _ in range(repeats):
                self.work()
            return time.perf_counter() - start
        finally:
            gc.enable()

    def output(self) -> Any:
        return self.work()


@dataclass(frozen=True)
class Timing:
    """How a comparison is timed.

    Attributes:
        rounds: how often each side has its turn; the fastest counts, since other work on the machine only adds time.
        items: how many things (images, masks) one call works on; what is reported is per item.
        unit: "s", "ms" or "us" per item, or items in a second, such as "images/s".
    """

    rounds: int = 21
    items: int = 1
    unit: str = "ms"

    def __post_init__(self) -> None:
        if self.unit not in _SECONDS and not self.unit.endswith("/s"):
            raise ValueError(f"Expected `unit` to be {', '.join(_SECONDS)} or such as images/s, but got {self.unit!r}.")

    def value(self, seconds: float) -> float:
        """Of one call that took so long, in `unit`."""
        return self.items / seconds if self.unit.endswith("/s") else seconds / self.items / _SECONDS[self.unit]


_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def compare(
    name: str,
    *,
    ours: Side | Callable[[], Any],
    peer: Side | Callable[[], Any],
    peer_name: str,
    agree: Callable[[Any, Any], bool],
    at_least: float = 1.0,
    timing: Timing = Timing(),
) -> Row:
    """Let both sides do the same work in turn.

    First both work once, which warms them up and gives the outputs to compare. Work that is over sooner than in
    0.02 s is repeated, as often on one side as on the other. `ratio` is how many times as fast ours is.

    Args:
        name: of the row, such as "rle_encode_decode/encode 480 x 640".
        ours: our work: a function without arguments, or a `Side`.
        peer: the peer's, or a `PeerProcess`.
        peer_name: with its version, such as "pycocotools 2.0.11".
        agree: whether our output, the first argument, says the same as the peer's.
        at_least: the ratio that is wanted.
        timing: rounds, items in a call, unit.
    """
    sides = [side if not callable(side) else Here(side) for side in (ours, peer)]
    outputs_agree = bool(agree(sides[0].output(), sides[1].output()))
    slowest = max(side.seconds(1) for side in sides)
    repeats = max(1, min(_MOST_REPEATS, round(_LEAST_SECONDS / slowest)))
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(timing.rounds):
        for side, taken in zip(sides, seconds, strict=True):
            taken.append(side.seconds(repeats) / repeats)
    fastest = [min(taken) for taken in seconds]
    return Row(
        name=name,
        ours=timing.value(fastest[0]),
        peer=timing.value(fastest[1]),
        peer_name=peer_name,
        ratio=fastest[1] / fastest[0],
        at_least=at_least,
        unit=timing.unit,
        outputs_agree=outputs_agree,
    )


def measured(
    name: str, *, ours: float, peer: float, peer_name: str, unit: str, outputs_agree: bool, at_least: float = 1.0
) -> Row:
    """A row of numbers that are no times and of which less is better, such as a memory's peak in MiB."""
    return Row(name, ours, peer, peer_name, peer / ours, at_least, unit, outputs_agree)


def with_head(name: str, rows: Sequence[Row]) -> list[Row]:
    """The rows of a benchmark's cases below one that bears the benchmark's name: its worst case.

    Worst is the case that is furthest below, or least above, what is wanted of it; the outputs agree if all do.
    """
    worst = min(rows, key=lambda row: row.ratio / row.at_least)
    return [replace(worst, name=name, outputs_agree=all(row.outputs_agree for row in rows)), *rows]
