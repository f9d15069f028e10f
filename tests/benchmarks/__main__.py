"""Runs the benchmarks: `make bench`, or `make bench NAME=rle_encode_decode` for one.

A benchmark is a module beside this one with a function `rows() -> list[Row]` and a line in the table below. Each
row goes into `runs/benchmarks/results.json`; the first bears the benchmark's name, others NAME/CASE. The program
ends with code 1 where outputs differ or ours is not as good as wanted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tests.benchmarks.results import save_picture, table, write_rows

BENCHMARKS: dict[str, str] = {
    "cached_decoder_epoch": "tests.benchmarks.cached_decoder_epoch",
    "decode_64_prompts": "tests.benchmarks.decode_64_prompts",
    "evaluate_clicks": "tests.benchmarks.evaluate_clicks",
    "everything_mode": "tests.benchmarks.everything_mode",
    "nifti_random_slices": "tests.benchmarks.nifti_random_slices",
    "rle_encode_decode": "tests.benchmarks.rle_encode_decode",
}
"""Name -> the module with its `rows`."""
FOLDER = Path("runs/benchmarks")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Compare with peers, in one run.")
    parser.add_argument("name", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all if left out")
    names = parser.parse_args(arguments).name or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"Expected NAME to be one of {', '.join(BENCHMARKS)}, but got {', '.join(unknown)}.")
    failed = []
    for name in names:
        print(f"{name} ...", flush=True)
        rows = importlib.import_module(BENCHMARKS[name]).rows()
        every_row = write_rows(FOLDER / "results.json", name, rows)
        save_picture(FOLDER / "results.png", every_row)
        print(table(rows), end="\n\n")
        failed += [row.name for row in rows if not row.holds]
    print(f"Written: {FOLDER / 'results.json'} and {FOLDER / 'results.png'}")
    if failed:
        print(f"Not as wanted: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
