"""Masks of everything by our generator, for `everything_mode`, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from everything_mode_settings import SETTINGS

from sam_ft import SamAutomaticMaskGenerator, sam_model_registry


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    generator = SamAutomaticMaskGenerator(sam_model_registry["vit_b"](checkpoint=folder / "sam.pth"), **SETTINGS)
    image = np.load(folder / "image.npy")

    def generate() -> dict[str, np.ndarray]:
        records = generator.generate(image)
        removed = generator.removed
        trusted = removed.proposals - removed.pred_iou
        return {
            "masks": np.packbits(np.stack([each["segmentation"].ravel() for each in records]), axis=1),
            "scores": np.array([[each["predicted_iou"], each["stability_score"]] for each in records]),
            "proposals": removed.proposals,
            "trusted": trusted,
            "stable": trusted - removed.stability_score,
            "prompts": len({tuple(each["point_coords"][0]) for each in records}),
            "kept": len(records),
        }

    return generate
