"""The loop of `evaluate_clicks`: one call of `SamPredictor.predict` for each object and round, from an embedding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision_stand_in

torchvision_stand_in.install()

from segment_anything import SamPredictor, sam_model_registry  # noqa: E402


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    given = dict(np.load(folder / "work.npz"))
    predictor = predictor_of(folder, given, device="cpu")
    return lambda: {"ious": ious_of(predictor, given)}


def predictor_of(folder: Path, given: dict[str, np.ndarray], *, device: str) -> SamPredictor:
    """One that has the embedding already."""
    predictor = SamPredictor(sam_model_registry["vit_b"](checkpoint=str(folder / "sam.pth")).to(device))
    height, width = given["image"].shape[:2]
    predictor.original_size = predictor.input_size = (height, width)
    predictor.features, predictor.is_image_set = torch.from_numpy(given["embedding"]).to(device), True
    return predictor


def ious_of(predictor: SamPredictor, given: dict[str, np.ndarray]) -> np.ndarray:
    """(objects, clicks): the most confident of three masks for the first click, then one from all clicks so far."""
    ious = np.zeros(given["labels"].shape)
    for number, truth in enumerate(given["masks"]):
        points, labels, last = given["points"][number], given["labels"][number], None
        for click in range(len(points)):
            masks, scores, logits = predictor.predict(
                point_coords=points[: click + 1],
                point_labels=labels[: click + 1],
                mask_input=last,
                multimask_output=click == 0,
            )
            best = int(scores.argmax())
            last = logits[best : best + 1]
            ious[number, click] = (masks[best] & truth).sum() / max((masks[best] | truth).sum(), 1)
    return ious
