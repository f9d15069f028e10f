"""Reads every hostile file in one process, and prints what came of it as JSON: `python -m ... FOLDER GROUP ...`."""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.data.hostile.case import Case
from tests.data.hostile.descriptions import description_cases
from tests.data.hostile.formats import format_cases
from tests.data.hostile.images import image_cases
from tests.data.hostile.texts import text_cases
from tests.data.hostile.volumes import volume_cases

MOST_ADDRESSES = 6 << 30
"""So that a bomb cannot take the machine's memory with it: all of PyTorch's libraries need less than 3 GiB."""
HANGS_AFTER_S = 15


class Hang(BaseException):
    """Nobody takes it for an error of a file."""


@dataclass(frozen=True)
class Outcome:
    """What came of one case."""

    group: str
    name: str
    error: str | None  # the type of an error; None: it was read
    message: str
    place: str  # where a wrong error came from
    path: str  # of the hostile file
    seconds: float  # of the processor, by all threads
    elapsed: float  # seconds on the clock, without those in which it could have gone on but another process ran
    grown_mib: float  # of the process's peak, by this case
    may_be_read: bool


def all_cases() -> Iterator[Case]:
    """Of all kinds of files."""
    yield from image_cases()
    yield from text_cases()
    yield from volume_cases()
    yield from format_cases()
    yield from description_cases()


def outcome_of(case: Case, folder: Path) -> Outcome:
    """Read one file."""
    path = case.write(folder)
    error, message, place = None, "", ""
    before, start, clock = peak_mib(), time.process_time(), undisturbed_s()
    signal.alarm(HANGS_AFTER_S)
    try:
        case.read(path)
    except BaseException as err:  # noqa: BLE001  (a hang, too)
        error, message = type(err).__name__, str(err)
        place = "" if isinstance(err, ValueError) else "".join(traceback.format_tb(err.__traceback__)[-2:])
    finally:
        signal.alarm(0)
    return Outcome(
        group=case.group,
        name=case.name,
        error=error,
        message=message,
        place=place,
        path=str(path),
        seconds=time.process_time() - start,
        elapsed=undisturbed_s() - clock,
        grown_mib=peak_mib() - before,
        may_be_read=case.may_be_read,
    )


def undisturbed_s() -> float:
    """The clock, which stands still while the main thread waits for a processor; where nobody counts that, it does not.

    So a busy machine is no defect, but a lock, a sleep, a pipe or another process that is waited for is one.
    """
    try:
        queued_ns = int(Path("/proc/self/schedstat").read_text().split()[1])  # of the process's first thread
    except (OSError, IndexError):
        queued_ns = 0
    return time.monotonic() - queued_ns / 1e9


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def hang(signum: int, frame: FrameType | None) -> NoReturn:
    raise Hang(f"it took longer than {HANGS_AFTER_S} s")


def main(folder: Path, groups: list[str]) -> None:
    """Read the files of some groups, or of all."""
    signal.signal(signal.SIGALRM, hang)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    logging.disable()
    warnings.simplefilter("ignore")
    cases = [case for case in all_cases() if not groups or case.group in groups]
    idle = peak_mib()
    found = [outcome_of(case, folder / str(number)) for number, case in enumerate(cases)]
    json.dump({"idle_mib": idle, "peak_mib": peak_mib(), "outcomes": [asdict(each) for each in found]}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
