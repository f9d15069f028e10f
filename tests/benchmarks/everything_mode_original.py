"""Masks of everything by segment_anything, for `everything_mode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torchvision_stand_in
from everything_mode_settings import SETTINGS
from stopwatch import Stopwatch

torchvision_stand_in.install()

from segment_anything import SamAutomaticMaskGenerator, automatic_mask_generator, sam_model_registry  # noqa: E402
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, Sam  # noqa: E402


def prepare(folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    generator = SamAutomaticMaskGenerator(sam_model_registry["vit_b"](checkpoint=str(folder / "sam.pth")), **SETTINGS)
    image = np.load(folder / "image.npy")
    watch = Stopwatch()
    watch.watch("encode", ImageEncoderViT, "forward")
    watch.watch("decode", MaskDecoder, "forward")
    watch.watch("upscale", generator.predictor.model.mask_decoder.output_upscaling, "forward")
    watch.watch("upsample", Sam, "postprocess_masks")
    watch.watch("stability", automatic_mask_generator, "calculate_stability_score")
    watch.watch("run lengths", automatic_mask_generator, "mask_to_rle_pytorch")
    watch.watch("NMS", automatic_mask_generator, "batched_nms")
    watch.watch("records", automatic_mask_generator, "rle_to_mask")

    def generate() -> dict[str, np.ndarray]:
        watch.clear()
        records = generator.generate(image)
        return {
            "masks": np.packbits(np.stack([each["segmentation"].ravel() for each in records]), axis=1),
            "scores": np.array([[each["predicted_iou"], each["stability_score"]] for each in records]),
            **watch.as_arrays(),
        }

    return generate
