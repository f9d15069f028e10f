"""What runs in a peer's environment: does its work when asked on standard input. Imports nothing of ours."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    script, folder = Path(sys.argv[1]), Path(sys.argv[2])
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # a peer may print
        spec = importlib.util.spec_from_file_location(script.stem, script)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        work = module.prepare(folder)
        for line in sys.stdin:
            print(json.dumps(_answer(json.loads(line), work)), file=answers, flush=True)


def _answer(question: dict[str, Any], work: Any) -> dict[str, float]:
    if "output" in question:
        np.savez(question["output"], **work())
    if "peak" in question:
        return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if "repeats" not in question:
        return {}
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    for _ in range(question["repeats"]):
        work()
    seconds = time.perf_counter() - start
    gc.enable()
    return {"seconds": seconds}


if __name__ == "__main__":
    main()
