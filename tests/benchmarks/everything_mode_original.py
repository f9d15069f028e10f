"""Masks of everything by segment_anything, for `everything_mode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torchvision_stand_in
from everything_mode_settings import SETTINGS

torchvision_stand_in.install()

from segment_anything import SamAutomaticMaskGenerator, sam_model_registry  # noqa: E402


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    generator = SamAutomaticMaskGenerator(sam_model_registry["vit_b"](checkpoint=str(folder / "sam.pth")), **SETTINGS)
    image = np.load(folder / "image.npy")

    def generate() -> dict[str, np.ndarray]:
        records = generator.generate(image)
        return {
            "masks": np.packbits(np.stack([each["segmentation"].ravel() for each in records]), axis=1),
            "scores": np.array([[each["predicted_iou"], each["stability_score"]] for each in records]),
        }

    return generate
