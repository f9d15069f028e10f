"""The loop of `evaluate_clicks` on a GPU, from an embedding that lies there; over when the GPU has done everything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))  # the peer's environment has nothing of ours

from evaluate_clicks_peer import ious_of, predictor_of


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    torch.backends.cudnn.allow_tf32 = False  # as on our side: IoUs are compared to 1e-4
    given = dict(np.load(folder / "work.npz"))
    predictor = predictor_of(folder, given, device="cuda")

    def work() -> dict[str, np.ndarray]:
        ious = ious_of(predictor, given)
        torch.cuda.synchronize()
        return {"ious": ious}

    return work
