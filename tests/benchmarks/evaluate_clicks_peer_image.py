"""The loop of `evaluate_clicks` from the image: `SamPredictor.set_image` first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # the peer's environment has nothing of ours

from evaluate_clicks_peer import SamPredictor, ious_of, sam_model_registry


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    predictor = SamPredictor(sam_model_registry["vit_b"](checkpoint=str(folder / "sam.pth")))
    given = dict(np.load(folder / "work.npz"))

    def work() -> dict[str, np.ndarray]:
        predictor.set_image(given["image"])
        return {"ious": ious_of(predictor, given)}

    return work
