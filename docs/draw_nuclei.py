"""Draws docs/nuclei.png: mIoU against clicks of the two trainings that docs/nuclei.sh makes.

python docs/draw_nuclei.py OUTPUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sam_ft.charts import curves_figure
from sam_ft.files import atomic_write
from sam_ft.pictures import to_png

NAMES = {"clicks": "clicks and boxes in training", "box_only": "boxes alone in training"}


def main(output: Path) -> None:
    """One curve for each training, and its mIoU with a box."""
    summaries = {
        title: json.loads((output / name / "test" / "summary.json").read_text()) for name, title in NAMES.items()
    }
    with atomic_write(Path(__file__).with_name("nuclei.png")) as path:
        path.write_bytes(to_png(curves_figure(summaries), dpi=110))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
